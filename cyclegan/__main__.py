"""`python -m cyclegan` is the same as `cyclegan`."""

from cyclegan.cli.main import main

main()
