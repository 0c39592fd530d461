"""What the user wants: frozen values, checked when they are made, keyword-only. No I/O, no clock."""
