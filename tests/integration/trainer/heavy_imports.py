"""What a rank imports, for `preloaded`. Nothing here starts a thread, so that forking it is safe."""

import os

os.environ["DS_ACCELERATOR"] = "cpu"

import bitsandbytes  # noqa: F401 - as DS_ACCELERATOR says
import deepspeed  # noqa: F401
import peft  # noqa: F401
import transformers.integrations.deepspeed
import transformers.models.llama.modeling_llama  # noqa: F401

import services.training_service.trainer.run  # noqa: F401
