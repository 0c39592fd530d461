"""Pure: facts and a clock reading become a verdict. No I/O, no clock, no wait."""
