"""The colours of lines and text, for figures and for the explorer, which draws without matplotlib."""

#: Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, MUTED = "#1a1a1a", "#666666"
