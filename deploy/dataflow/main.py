"""What the launcher of the template starts: it hands the job to Dataflow, and is done before the job starts."""

import sys

from pipelines import cli, template

if __name__ == "__main__":
    # Of options given twice the last counts.
    sys.exit(cli.main(["launch", f"--model={template.MODEL_DIRECTORY}", "--sdk_location=container", *sys.argv[1:]]))
