"""Why an object does not do what it is there for: facts in, one sentence of cause and one of remedy out."""
