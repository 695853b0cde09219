"""The Dataflow Flex template: image, parameters, and the program that its launcher starts."""
