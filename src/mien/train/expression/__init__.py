"""Training expression models: data on the device, augmentation, losses, distillation, and the task for the engine."""
