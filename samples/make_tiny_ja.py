"""Make samples/models/tiny-ja from nothing: `python -m samples.make_tiny_ja [--output DIR]`.

Trains the tokenizer, then the model on two processes of one thread each. Progress goes to standard
output; "look-up" is the share of values that the model finds in records it has not seen.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from samples import pretraining, tokenizer

MODEL = Path(__file__).parent / "models" / "tiny-ja"
CARD = Path(__file__).parent / "tiny_ja_card.md"
TOKENIZER_PASSAGES = 20_000
# What the card recommends for fine-tuning on samples/data/sample_training_data.jsonl.
RECOMMENDED = {
    "method": "lora",
    "learning_rate": 3e-3,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "lora_r": 16,
    "lora_alpha": 32,
    "max_length": 128,
}
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n' }}
{%- elif message['role'] == 'user' -%}
{{ '### 指示:\\n' + message['content'] + '\\n' }}
{%- elif message['role'] == 'assistant' -%}
{{ '### 応答:\\n' }}
{%- generation -%}
{{ message['content'] + eos_token }}
{%- endgeneration -%}
{%- if not loop.last -%}
{{ '\\n' }}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '### 応答:\\n' }}
{%- endif -%}
"""


def write(output: Path, model: LlamaForCausalLM, pieces: Tokenizer, recipe: pretraining.Recipe) -> None:
    """Write the model in bfloat16 with its tokenizer, card and facts; `output` is replaced."""
    shutil.rmtree(output, ignore_errors=True)
    end, pad = pieces.token_to_id(tokenizer.END), pieces.token_to_id(tokenizer.PAD)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, max_new_tokens=100)
    model.to(torch.bfloat16).save_pretrained(output)
    PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        eos_token=tokenizer.END,
        pad_token=tokenizer.PAD,
        unk_token=tokenizer.UNKNOWN,
        model_max_length=model.config.max_position_embeddings,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(output)
    _name_tokenizer_class(output / "tokenizer_config.json")
    (output / "model.safetensors").chmod(0o644)
    shutil.copyfile(CARD, output / "README.md")
    facts = {
        "display_name": "tiny-ja",
        "licence": "apache-2.0",
        "language": ["ja"],
        "parameters": model.num_parameters(),
        "pretraining": {"tokens": recipe.tokens, "length": recipe.length, "seed": recipe.seed},
        "recommended": RECOMMENDED,
    }
    (output / "aift.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _name_tokenizer_class(path: Path) -> None:
    """Name the class that other programs know too; transformers 5 writes an internal one."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line, train and write."""
    defaults = pretraining.Recipe()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MODEL)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--tokens", type=int, default=defaults.tokens, help="tokens to train on (%(default)s)")
    arguments = parser.parse_args()
    recipe = pretraining.Recipe(tokens=arguments.tokens, seed=arguments.seed)
    pieces = tokenizer.train(TOKENIZER_PASSAGES, recipe.seed)
    with tempfile.TemporaryDirectory() as workplace:
        model = pretraining.run(pieces, recipe, Path(workplace))
    write(arguments.output, model, pieces, recipe)


if __name__ == "__main__":
    main()
