"""Who is calling: tokens, logins and sign-in links."""
