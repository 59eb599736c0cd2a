"""The Triton kernels that `eqvi.model.gpu_kernels` calls; importable only where Triton is."""

import triton
import triton.language as tl


@triton.jit
def cost_volume(
    first, second, out, height, width,
    first_b, first_c, first_y, first_x, second_b, second_c, second_y, second_x,
    CHANNELS: tl.constexpr, REACH: tl.constexpr, SIDE: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All dx of one dy, for a stretch of a row."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.program_id(1)
    row = tl.program_id(2) % SIDE
    sample = tl.program_id(2) // SIDE
    dx = tl.arange(0, PADDED)
    there_y = y + row - REACH
    there_x = x[None, :] + dx[:, None] - REACH
    inside = (there_x >= 0) & (there_x < width) & (dx[:, None] < SIDE) & (there_y >= 0) & (there_y < height)
    here = first + sample.to(tl.int64) * first_b + y * first_y + x * first_x
    there = second + sample.to(tl.int64) * second_b + there_y * second_y + there_x * second_x
    total = tl.zeros((PADDED, BLOCK), tl.float32)
    for channel in range(CHANNELS):
        a = tl.load(here + channel * first_c, mask=x < width, other=0.0).to(tl.float32)
        b = tl.load(there + channel * second_c, mask=inside, other=0.0).to(tl.float32)
        total += a[None, :] * b
    place = (sample * SIDE + row).to(tl.int64) * SIDE + dx[:, None]
    target = out + (place * height + y) * width + x[None, :]
    shown = (dx[:, None] < SIDE) & (x[None, :] < width)
    tl.store(target, (total / CHANNELS).to(out.dtype.element_ty), mask=shown)


@triton.jit
def splat(flow, landed, height, width, UNITS: tl.constexpr, BLOCK: tl.constexpr):
    """A stretch of pixels: each adds its flow and 1, weighted, to the four pixels around its target."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size = height * width
    known = pixel < size
    own = flow + tl.program_id(1).to(tl.int64) * 2 * size
    sums = landed + tl.program_id(1).to(tl.int64) * 3 * size
    flow_x = tl.load(own + pixel, mask=known, other=0.0).to(tl.float32)
    flow_y = tl.load(own + size + pixel, mask=known, other=0.0).to(tl.float32)
    x = (pixel % width).to(tl.float32) + flow_x
    y = (pixel // width).to(tl.float32) + flow_y
    for corner in range(4):
        corner_x = tl.floor(x) + corner % 2
        corner_y = tl.floor(y) + corner // 2
        weight = tl.exp(-((x - corner_x) * (x - corner_x) + (y - corner_y) * (y - corner_y)))
        inside = known & (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
        place = tl.where(inside, corner_y, 0.0).to(tl.int32) * width + tl.where(inside, corner_x, 0.0).to(tl.int32)
        for channel in range(3):
            value = tl.where(channel == 0, flow_x, tl.where(channel == 1, flow_y, 1.0)) * weight
            units = tl.floor(value.to(tl.float64) * UNITS + 0.5).to(tl.int64)
            tl.atomic_add(sums + channel * size + place, units, mask=inside, sem="relaxed")
