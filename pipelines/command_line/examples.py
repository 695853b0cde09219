"""An example of every command, shown by its `--help`; tests parse each as the command does."""

from collections.abc import Mapping
from types import MappingProxyType

_MILVUS = "http://localhost:19530"

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "run": f"""
  corpus-embed run --input 'corpus/**/*.jsonl.gz' --workspace work \\
    --milvus {_MILVUS} --collection manuals \\
    --model path/to/multilingual-e5-small --languages de,en,th
  corpus-embed run --config run.toml --max-tokens 128""",
        "launch": """
  corpus-embed launch --config run.toml --runner=DataflowRunner \\
    --project=my-project --region=europe-west4 \\
    --temp_location=gs://my-bucket/temp""",
        "calibrate": """
  corpus-embed calibrate --config run.toml --calibration-sample 20000""",
        "search": f"""
  corpus-embed search 'How do I reset the device?' --collection manuals \\
    --milvus {_MILVUS} --languages th de --top 5""",
        "capabilities": f"""
  corpus-embed capabilities --milvus {_MILVUS}""",
        "verify": f"""
  corpus-embed verify --workspace work --milvus {_MILVUS} \\
    --collection manuals --rows 200""",
        "load": f"""
  corpus-embed load --workspace work --from manuals \\
    --milvus {_MILVUS} --collection manuals_int8 --vector-type int8""",
        "rollback": f"""
  corpus-embed rollback docs --workspace work --milvus {_MILVUS}""",
        "drop": f"""
  corpus-embed drop docs_0001 --yes docs_0001 --workspace work \\
    --milvus {_MILVUS}""",
        "workspace": """
  corpus-embed workspace ls work
  corpus-embed workspace gc work --keep-ledgers 1 --delete
  corpus-embed workspace export work --collection manuals --to out""",
        "runs": """
  corpus-embed runs ls work --limit 5
  corpus-embed runs show work latest
  corpus-embed runs diff work run-1bcf latest --only counts times""",
        "rejects": """
  corpus-embed rejects ls work
  corpus-embed rejects replay work --run run-1bcf --reason too_large \\
    --max-document-bytes 50000000""",
        "plan": """
  corpus-embed plan --config run.toml --confidence 0.99 --workers 1,8,32""",
        "report": """
  corpus-embed report work latest --output report.html""",
        "evaluate": f"""
  corpus-embed evaluate --workspace work --milvus {_MILVUS} \\
    --collection manuals --key-column source --key-pattern '/[a-z]+/(.*)$'""",
        "explore": f"""
  corpus-embed explore --milvus {_MILVUS} --collection manuals \\
    --workspace work""",
        "config": """
  corpus-embed config init run.toml
  corpus-embed config check run.toml --max-tokens 128
  corpus-embed config schema""",
        "completion": """
  corpus-embed completion bash \\
    > ~/.local/share/bash-completion/completions/corpus-embed
  corpus-embed completion zsh > ~/.zfunc/_corpus-embed
  corpus-embed completion fish > ~/.config/fish/completions/corpus-embed.fish""",
    }
)
