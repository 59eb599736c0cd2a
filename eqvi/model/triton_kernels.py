"""The Triton kernels that `eqvi.model.gpu_kernels` calls; importable only where Triton is."""

import triton
import triton.language as tl


@triton.jit
def cost_volume(
    first, second, out, height, width,
    first_b, first_c, first_y, first_x, second_b, second_c, second_y, second_x,
    out_b, out_c, out_y, out_x,
    CHANNELS: tl.constexpr, REACH: tl.constexpr, SIDE: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All dx of one dy, for a stretch of a row."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.program_id(1)
    row = tl.program_id(2) % SIDE
    sample = tl.program_id(2) // SIDE
    dx = tl.arange(0, PADDED)
    there_x = x[None, :] + dx[:, None] - REACH
    there_y = tl.zeros_like(there_x) + (y + row - REACH)  # as a tensor, so that its comparisons are masks, too
    inside = (there_x >= 0) & (there_x < width) & (dx[:, None] < SIDE) & (there_y >= 0) & (there_y < height)
    here = first + sample.to(tl.int64) * first_b + y * first_y + x * first_x
    there = second + sample.to(tl.int64) * second_b + there_y * second_y + there_x * second_x
    total = tl.zeros((PADDED, BLOCK), tl.float32)
    for channel in range(CHANNELS):
        a = tl.load(here + channel * first_c, mask=x < width, other=0.0).to(tl.float32)
        b = tl.load(there + channel * second_c, mask=inside, other=0.0).to(tl.float32)
        total += a[None, :] * b
    channel = row * SIDE + dx[:, None]
    target = out + sample.to(tl.int64) * out_b + channel.to(tl.int64) * out_c + y * out_y + x[None, :] * out_x
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


@triton.jit
def sample_at(
    image, places, out, channels, height, width, rows, columns,
    image_b, image_c, image_y, image_x, places_b, places_c, places_y, places_x, out_b, out_c, out_y, out_x,
    BORDER: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Some channels of a stretch of pixels."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    sample = tl.program_id(2).to(tl.int64)
    known = pixel < rows * columns
    row, column = pixel // columns, pixel % columns
    place = places + sample * places_b + row * places_y + column * places_x
    x = tl.load(place, mask=known, other=0.0).to(tl.float32)
    y = tl.load(place + places_c, mask=known, other=0.0).to(tl.float32)
    if BORDER:
        x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
        y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
    else:  # further outside is as far outside, and fits into an integer
        x = tl.minimum(tl.maximum(x, -2.0), width + 1.0)
        y = tl.minimum(tl.maximum(y, -2.0), height + 1.0)
    left, top = tl.floor(x), tl.floor(y)
    total = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for corner in tl.static_range(4):
        corner_x, corner_y = left + corner % 2, top + corner // 2
        weight = (1.0 - tl.abs(x - corner_x)) * (1.0 - tl.abs(y - corner_y))
        inside = known & (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
        offset = corner_y.to(tl.int64) * image_y + corner_x.to(tl.int64) * image_x
        source = image + sample * image_b + offset[:, None] + channel[None, :].to(tl.int64) * image_c
        value = tl.load(source, mask=inside[:, None] & (channel[None, :] < channels), other=0.0).to(tl.float32)
        total += weight[:, None] * value
    target = out + sample * out_b + (row.to(tl.int64) * out_y + column * out_x)[:, None]
    target += channel[None, :].to(tl.int64) * out_c
    tl.store(target, total.to(out.dtype.element_ty), mask=known[:, None] & (channel[None, :] < channels))


@triton.jit
def add_bias_and_activate(x, bias, count, CHANNELS: tl.constexpr, SLOPE: tl.constexpr, BLOCK: tl.constexpr):
    """A stretch of values, whose channels change fastest."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    known = place < count
    value = tl.load(x + place, mask=known, other=0.0).to(tl.float32)
    value += tl.load(bias + place % CHANNELS, mask=known, other=0.0).to(tl.float32)
    value = tl.where(value > 0, value, SLOPE * value)
    tl.store(x + place, value.to(x.dtype.element_ty), mask=known)
