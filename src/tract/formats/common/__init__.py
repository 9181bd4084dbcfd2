"""What the packages of the APIs have in common: values, media, blocks, short contents."""
