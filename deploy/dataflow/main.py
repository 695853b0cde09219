"""What the launcher of the template starts: it hands the job to Dataflow, and is done before the job starts."""

import sys

from pipelines import cli
from pipelines.configuration import template

# Of options given twice the last counts. The image has all that workers need, so nothing of this program goes along with the graph.
OF_THE_IMAGE = [f"--model={template.MODEL_DIRECTORY}", "--sdk_location=container", "--no_save_main_session"]

if __name__ == "__main__":
    sys.exit(cli.main(["launch", *OF_THE_IMAGE, *sys.argv[1:]]))
