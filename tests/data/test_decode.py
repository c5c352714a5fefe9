"""Pictures of every mode become the pixels that Pillow, or arithmetic on paper, says."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data import budget
from linprobe.data import decode as module
from linprobe.data.base import open_dataset
from linprobe.data.decode import BrokenImage, decode, decode_with_depth
from linprobe.errors import ImageError


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (33, 17)])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_fast_path_for_jpeg_gives_the_pixels_of_pillow(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], subsampling: int, progressive: bool
) -> None:
    data = encode(Image.fromarray(noise(*size)), "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    monkeypatch.setattr(module, "_any_picture", None)  # so that it is the fast path that is tested
    assert np.array_equal(decode(data), expected)


def test_a_grey_jpeg_has_one_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.fromarray(noise(8, 9)[:, :, 0]), "JPEG")
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened)[:, :, None]
    monkeypatch.setattr(module, "_any_picture", None)
    assert np.array_equal(decode(data), expected)


def test_alpha_is_laid_over_white() -> None:
    rgba = Image.new("RGBA", (1, 1), (100, 0, 200, 51))  # one fifth of the colour, four fifths of 255
    assert decode(encode(rgba)).tolist() == [[[224, 204, 244]]]
    grey = Image.new("LA", (1, 1), (100, 51))
    assert decode(encode(grey)).tolist() == [[[224]]]


def test_a_transparent_colour_of_a_palette_becomes_white() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putdata([0, 1])
    assert decode(encode(picture)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert decode(encode(picture, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    picture.putpalette([10, 10, 10, 40, 40, 40])
    assert decode(encode(picture)).tolist() == [[[10], [40]]]


def test_sixteen_bits_are_rounded_to_eight() -> None:
    values = np.array([[0, 128, 129, 257 * 100, 65535]], dtype=np.uint16)
    assert decode(encode(Image.fromarray(values)))[:, :, 0].tolist() == [[0, 0, 1, 100, 255]]
    assert decode(encode(Image.fromarray(values), "TIFF"))[:, :, 0].tolist() == [[0, 0, 1, 100, 255]]


def test_one_bit_becomes_black_and_white() -> None:
    assert decode(encode(Image.fromarray(np.array([[True, False]]))))[:, :, 0].tolist() == [[255, 0]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_what_pillow_makes_of_it(kind: str) -> None:
    data = encode(Image.new("CMYK", (8, 8), (9, 80, 0, 40)), kind)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(decode(data), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_exif_orientation_turns_the_picture(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    stored = np.zeros((8, 16, 3), dtype=np.uint8)
    stored[:, :8] = 255
    pixels = decode(encode(Image.fromarray(stored), kind, exif=exif))
    assert pixels.shape == (16, 8, 3)
    assert np.array_equal(pixels > 127, np.rot90(stored, -1) > 127)


def test_resizing_goes_to_height_and_width_and_averages() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2 * 200
    data = encode(Image.fromarray(board.astype(np.uint8)))
    small = decode(data, (2, 3))
    assert small.shape == (2, 3, 1)
    assert np.abs(small.astype(int) - 100).max() <= 12
    assert decode(encode(Image.fromarray(noise(5, 4))), (6, 7)).shape == (6, 7, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(BrokenImage, match=r"9434x9434 = 89,000,356 pixels; at most 67,108,864"):
        decode(png_header(9434, 9434))


def test_a_jpeg_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIXEL_LIMIT", 63)
    with pytest.raises(BrokenImage, match="8x8 = 64 pixels; at most 63"):
        decode(encode(Image.fromarray(noise(8, 8)), "JPEG"))


@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_many_tiny_files_of_large_pictures_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_bad_image: str
) -> None:
    flat = Image.new("L", (1000, 1000))  # a thousand pixels for each byte of its file
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(20):
            flat.save(tmp_path / kind / f"{i}.png")
    assert len(open_dataset(tmp_path, image_size=(4, 4), on_bad_image=on_bad_image).train.y) == 40
    monkeypatch.setattr(budget, "FREE_PIXELS", 10**7)
    with pytest.raises(ImageError, match=r"pictures of [\d,]+ pixels or more in [\d,]+ bytes of files; expected"):
        open_dataset(tmp_path, image_size=(4, 4), on_bad_image=on_bad_image, cache=False)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_picture_cut_short_is_broken(kind: str) -> None:
    data = encode(Image.fromarray(noise(64, 64)), kind)
    for kept in (4, len(data) // 2):
        with pytest.raises(BrokenImage, match=r"."):
            decode(data[:kept])


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "an empty file"), (b"hello, world", "not a picture of a format that is read")]
)
def test_what_is_no_picture_says_so(data: bytes, reason: str) -> None:
    with pytest.raises(BrokenImage, match=reason):
        decode(data)


def test_floating_point_pixels_are_refused_since_their_range_is_unknown() -> None:
    with pytest.raises(BrokenImage, match="floating-point"):
        decode(encode(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF"))


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></rdf:RDF></x:xmpmeta>'
)


def behind_segments(jpeg: bytes) -> bytes:
    """The same JPEG with 130 kB of other segments in front of its own."""
    return jpeg[:2] + (b"\xff\xed" + struct.pack(">H", 65002) + bytes(65000)) * 2 + jpeg[2:]


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("kind", ["xmp", "exif"])
def test_the_orientation_of_a_jpeg_is_applied_wherever_it_stands(kind: str, far: bool) -> None:
    half = np.zeros((16, 16, 3), np.uint8)
    half[:8] = 250
    exif = Image.Exif()
    exif[0x0112] = 3
    written = {"xmp": XMP} if kind == "xmp" else {"exif": exif.tobytes()}
    data = encode(Image.fromarray(half), "JPEG", **written)
    found = decode(behind_segments(data) if far else data)
    assert found[:6].max() < 20
    assert found[10:].min() > 230


def test_a_jpeg_with_xmp_but_no_orientation_stays_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.fromarray(noise(8, 8)), "JPEG", xmp=b"<x:xmpmeta/>")
    monkeypatch.setattr(module, "_any_picture", None)
    assert decode(data).shape == (8, 8, 3)


def tiff(pixels: np.ndarray, sample_format: int) -> bytes:
    """A TIFF of one channel by hand: Pillow writes none of signed numbers."""
    raw, (h, w), bits = pixels.tobytes(), pixels.shape, 8 * pixels.itemsize
    tags = (
        *((256, 3, 1, w), (257, 3, 1, h), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)),
        *((277, 3, 1, 1), (278, 3, 1, h), (279, 4, 1, len(raw)), (339, 3, 1, sample_format)),
    )
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(raw)) + raw + directory


@pytest.mark.parametrize("dtype", ["<i1", "<i2"])
def test_signed_pixels_are_refused(dtype: str) -> None:
    with pytest.raises(BrokenImage, match="signed pixels of unknown range; save it with 8 or 16 unsigned bits"):
        decode(tiff(np.array([[-100, 100]]).astype(dtype), 2))


@pytest.mark.parametrize("ends", [(0, 70000), (-1, 9)])
def test_pixels_of_32_bits_beyond_16_are_refused(ends: tuple[int, int]) -> None:
    with pytest.raises(BrokenImage, match=f"pixels from {ends[0]} to {ends[1]}, of unknown range"):
        decode(encode(Image.fromarray(np.array([ends], np.int32)), "TIFF"))


def test_the_depth_of_colour_pictures_of_16_bits_is_known_too() -> None:
    def png(value: int) -> bytes:
        rows = b"".join(b"\0" + struct.pack(">6H", *[value] * 6) for _ in range(2))
        chunks = (
            (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )

    assert decode_with_depth(png(4095))[1].notes
    assert decode_with_depth(png(60000))[1].notes == ()
    assert decode_with_depth(encode(Image.fromarray(noise(2, 2))))[1].notes == ()


def tiff_of_numbers(numbers: np.ndarray, bits: int, photometric: int) -> bytes:
    """A grey TIFF of one strip, uncompressed; `photometric` 0 says that 0 is white."""
    height, width = numbers.shape
    if bits == 12:  # two numbers in three bytes
        flat = "".join(f"{value:012b}" for value in numbers.ravel().tolist())
        data = int(flat, 2).to_bytes(len(flat) // 8, "big")
    else:
        data = numbers.astype("<u2").tobytes()
    start = 8 + 2 + 12 * 9 + 4
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: start, 277: 1, 278: height}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags.items(), (279, len(data))))
    return b"II*\0" + struct.pack("<IH", 8, 9) + fields + struct.pack("<I", 0) + data


@pytest.mark.parametrize(("bits", "largest", "photometric"), [(16, 65535, 0), (16, 65535, 1), (12, 4095, 1)])
def test_a_tiff_of_many_bits_says_which_end_is_white(bits: int, largest: int, photometric: int) -> None:
    numbers = np.array([[0, largest], [largest // 5, largest // 3]])
    pixels, depth = decode_with_depth(tiff_of_numbers(numbers, bits, photometric))
    expected = np.array([[0, 255], [51, 85]])
    assert pixels[..., 0].tolist() == (255 - expected if photometric == 0 else expected).tolist()
    assert depth.notes == ()


@pytest.mark.parametrize(("name", "warned"), [("TIFF", True), ("GIF", True), ("WEBP", True), ("MPO", False)])
def test_frames_that_are_not_read_are_counted(name: str, warned: bool) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 90)]
    several = encode(frames[0], name, save_all=True, append_images=frames[1:])
    pixels, depth = decode_with_depth(several)
    assert abs(int(pixels[0, 0, 0]) - 10) < 5
    assert bool(depth.notes) == warned
    both = depth.with_also(decode_with_depth(encode(frames[0], "TIFF"))[1]).with_also(depth)
    assert both.notes == ("2 pictures have several frames or pages, of which only the first is read.",) * warned
