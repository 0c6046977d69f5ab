"""Guards that ask somebody outside the process: what they ask and how they read the answer; who carries it is the pipeline's affair."""
