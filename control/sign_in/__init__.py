"""Single sign-on by OpenID Connect: people of the organisation get keys of staff that end soon, by their groups there."""
