"""What all command lines share: parsers, arguments, tables, examples, exit codes, interrupts."""
