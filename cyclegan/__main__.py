"""Makes `python -m cyclegan` the same as the command `cyclegan`."""

from cyclegan.cli.main import main

main()
