from repic.cli import main

main()
