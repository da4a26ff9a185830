#!/bin/sh
# Gives the service's login its password when the database is made; the migrations give it its memberships.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$GOALS_LOGIN_PASSWORD" -U postgres -d goals <<'SQL'
CREATE ROLE goals_login LOGIN NOINHERIT NOBYPASSRLS PASSWORD :'password';
SQL
