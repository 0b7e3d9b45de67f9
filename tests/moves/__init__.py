"""Tables of moves by circumstances: what every move does in every circumstance, written down."""
