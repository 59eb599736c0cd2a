"""The command line: one small file a command, arguments and printing only."""
