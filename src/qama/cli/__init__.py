"""The command line: parse, call, print. Data on stdout, talk on stderr."""
