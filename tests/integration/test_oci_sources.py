"""Images from a registry on loopback, from layouts and from archives: the same tree, or a refusal and nothing left."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.builders.artifact_server import Writer, answer, head, redirect, serving
from tests.builders.oci import Image, a_directory, a_file, a_link, a_list, a_registry, an_image, digest_of, layer

from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable
from volant.images.oci import Unpacked, unpack

BASE = layer(a_directory("etc"), a_file("etc/passwd", b"app:x:7:8::/:\n"), a_file("old", b"x"))
ABOVE = layer(a_file("app", b"elf" * 1000, mode=0o755, uid=7, gid=8), a_file(".wh.old"))
SAID = {"Entrypoint": ["/app"], "User": "app", "Env": ["A=1"]}
EXPECTED = {"etc": None, "etc/passwd": b"app:x:7:8::/:\n", "app": b"elf" * 1000}


def the_image(**how: Any) -> Image:
    """Two layers, of which the upper one hides something."""
    return an_image(BASE, ABOVE, said=SAID, **how)


def is_right(unpacked: Unpacked, root: Path) -> bool:
    """Whether it is the image: tree, attributes and config."""
    files = {str(path.relative_to(root)): path for path in root.rglob("*")}
    content = {name: path.read_bytes() if path.is_file() else None for name, path in files.items()}
    app = unpacked.attributes["app"]
    said = (unpacked.config.argv, unpacked.config.user, unpacked.config.env, app.mode, app.uid, app.gid)
    return content == EXPECTED and said == (("/app",), "app", {"A": "1"}, 0o755, 7, 8)


async def pulled(source: str, into: Path, **how: Any) -> Unpacked:
    """Unpack in a thread, as it runs a loop of its own."""
    return await asyncio.to_thread(lambda: unpack(source, into, **how))


async def refusal(source: str, into: Path, **how: Any) -> ArtifactError:
    """Why not. Neither the tree nor anything beside it is left."""
    with pytest.raises(ArtifactError) as caught:
        await pulled(source, into, **how)
    assert list(into.iterdir()) == []
    assert [path.name for path in into.parent.iterdir() if path.name.startswith(".")] == []
    return caught.value


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_layouts_and_archives_give_the_same_tree(tmp_path: Path, packed: str) -> None:
    """An OCI layout as directory and as tar, and what `docker save` writes."""
    image = the_image(packed=packed)
    sources = [image.layout(tmp_path / "dir"), image.layout_tar(tmp_path / "oci.tar")]
    sources.append(image.docker_save(tmp_path / "docker.tar"))
    for number, source in enumerate(sources):
        root = tmp_path / f"root{number}"
        assert is_right(unpack(source, root), root)


def test_layers_packed_with_zstd_are_taken(tmp_path: Path) -> None:
    """And a damaged one is refused."""
    image = the_image(packed="")
    manifest = json.loads(image.manifest)
    for item in manifest["layers"]:
        blob = subprocess.run(["zstd", "-q", "-c"], input=image.blobs[item["digest"]], capture_output=True, check=True)
        image.blobs[digest_of(blob.stdout)] = blob.stdout
        item |= {"digest": digest_of(blob.stdout), "size": len(blob.stdout), "mediaType": item["mediaType"] + "+zstd"}
    data = json.dumps(manifest).encode()
    image.blobs[digest_of(data)] = data
    image.top |= {"digest": digest_of(data), "size": len(data)}
    assert is_right(unpack(image.layout(tmp_path / "image"), tmp_path / "root"), tmp_path / "root")
    torn = tmp_path / "image/blobs/sha256" / manifest["layers"][1]["digest"][7:]
    torn.write_bytes(torn.read_bytes()[:-5])
    with pytest.raises(ArtifactRefused):
        unpack(str(tmp_path / "image"), tmp_path / "torn")


def test_an_archive_of_old_docker_with_links_between_layers_is_read(tmp_path: Path) -> None:
    """Equal layers were links to the first of them; and a link out of the archive leads nowhere."""
    image = an_image(BASE, BASE)
    config = digest_of(image.config)[7:] + ".json"

    def archive(target: str) -> str:
        said = json.dumps([{"Config": config, "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
        files = [a_file(config, image.config), a_file("manifest.json", said), a_file("a/layer.tar", BASE)]
        (tmp_path / "docker.tar").write_bytes(layer(*files, a_link("b/layer.tar", target)))
        return str(tmp_path / "docker.tar")

    assert "etc/passwd" in unpack(archive("../a/layer.tar"), tmp_path / "fine").attributes
    (tmp_path / "layer.tar").write_bytes(BASE)
    for target in (f"{tmp_path}/layer.tar", "../../layer.tar"):
        with pytest.raises(ArtifactRefused, match="missing"):
            unpack(archive(target), tmp_path / "root")


def test_a_layout_does_not_lead_out_of_itself(tmp_path: Path) -> None:
    """C8: a blob that is a link is none."""
    image = the_image()
    source = Path(image.layout(tmp_path / "image"))
    blob = source / "blobs/sha256" / json.loads(image.manifest)["layers"][0]["digest"][7:]
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactRefused, match="missing"):
        unpack(str(source), tmp_path / "root")


@pytest.mark.parametrize("part", range(4))
def test_a_part_that_is_not_what_its_digest_says_is_refused(tmp_path: Path, part: int) -> None:
    """C9: manifest, config and either layer, of the same size and of another."""
    image = the_image()
    source = Path(image.layout(tmp_path / "image"))
    files = sorted((source / "blobs/sha256").iterdir())
    whole = files[part].read_bytes()
    for lie in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], whole + b" ", b""):
        files[part].write_bytes(lie)
        with pytest.raises(ArtifactRefused):
            unpack(str(source), tmp_path / "root")
        assert list((tmp_path / "root").iterdir()) == []


def test_of_several_images_none_is_guessed(tmp_path: Path) -> None:
    """A layout with two of them, and an archive with two or none."""
    image = the_image()
    source = Path(image.layout(tmp_path / "image"))
    (source / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [image.top, image.top]}))
    with pytest.raises(ArtifactRefused, match="several"):
        unpack(str(source), tmp_path / "root")
    for entries in (b"[]", b"[{},{}]", b"[1]", b"{}", b"[{}]"):
        (tmp_path / "docker.tar").write_bytes(layer(a_file("manifest.json", entries)))
        with pytest.raises(ArtifactRefused):
            unpack(str(tmp_path / "docker.tar"), tmp_path / "root")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """Files that are no tar, empty ones, directories without an index, nothing at all."""
    (tmp_path / "text").write_text("not a tar" * 200)
    (tmp_path / "empty").touch()
    (tmp_path / "dir").mkdir()
    for name in ("text", "empty", "dir", "missing"):
        with pytest.raises(ArtifactRefused):
            unpack(str(tmp_path / name), tmp_path / "root")


def test_a_directory_that_has_something_is_left_alone(tmp_path: Path) -> None:
    """Nothing is added to it, and nothing of it is removed."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/mine").write_text("mine")
    with pytest.raises(ArtifactRefused, match="not empty"):
        unpack(the_image().layout(tmp_path / "image"), tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["mine"]


async def test_an_image_comes_from_a_registry(tmp_path: Path) -> None:
    """By tag, by digest, through a list of variants, with progress; nothing stays beside the tree."""
    seen: list[tuple[str, int, int | None]] = []
    async with a_registry(a_list(the_image(), depth=2)) as registry:
        sources = [registry.reference, f"{registry.reference}@{registry.image.top['digest']}"]
        for number, source in enumerate(sources):
            root = tmp_path / f"root{number}"
            unpacked = await pulled(source, root, progress=lambda *said: seen.append(said))
            assert is_right(unpacked, root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root0", "root1"]
    assert any(what.startswith("layer ") and done == total for what, done, total in seen)


async def test_a_token_is_fetched_where_the_registry_says_and_given_to_it_alone(tmp_path: Path) -> None:
    """The scope is reading this image, whatever the challenge asks for; blobs elsewhere see no token."""
    image = the_image()

    async def elsewhere(path: str, writer: Writer) -> None:
        await answer(image.blobs[path[1:]])(path, writer)

    async with serving(elsewhere) as storage, a_registry(image, asks=True) as registry:
        assert is_right(await pulled(registry.reference, tmp_path / "root"), tmp_path / "root")
        assert registry.server.asked[1] == "/token?service=r&scope=repository%3Ateam%2Fapp%3Apull"
        assert "authorization" not in registry.server.headers[1]
        first = json.loads(image.manifest)["layers"][0]["digest"]
        registry.blobs_at = storage.url(f"/{first}")
        await refusal(registry.reference, tmp_path / "other")
        assert storage.asked
        assert all("authorization" not in said for said in storage.headers)


async def test_a_token_that_runs_out_is_fetched_anew(tmp_path: Path) -> None:
    """Large layers take longer than tokens last."""
    async with a_registry(the_image(), asks=True, lasts=2) as registry:
        assert is_right(await pulled(registry.reference, tmp_path / "root"), tmp_path / "root")
        assert registry.tokens == 2


async def test_a_registry_leads_to_no_address_that_is_not_public(tmp_path: Path) -> None:
    """C9: by a redirect or by the realm of its token. The registry itself was named by who builds."""
    async with serving(answer(b"secret")) as internal:
        inside = internal.url("/latest/meta-data", host="127.9.9.9")
        async with a_registry(the_image(), blobs_at=inside) as registry:
            assert isinstance(await refusal(registry.reference, tmp_path / "a"), ArtifactRefused)
        async with a_registry(the_image(), asks=True, realm=inside) as registry:
            assert isinstance(await refusal(registry.reference, tmp_path / "b"), ArtifactRefused)
        assert internal.asked == []


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "not a url", "https://user:pw@127.0.0.1/token", "/token"])
async def test_a_realm_that_is_no_address_is_refused(tmp_path: Path, realm: str) -> None:
    """And not repeated."""
    async with a_registry(the_image(), asks=True, realm=realm) as registry:
        assert "pw" not in (await refusal(registry.reference, tmp_path / "root")).message


async def test_a_registry_that_is_never_content_is_not_asked_for_ever(tmp_path: Path) -> None:
    """A token that does not help, a token that is none, a wish for a password."""

    async def never(path: str, writer: Writer) -> None:
        if path.startswith("/token"):
            await answer(b'{"token":"x y"}' if "evil" in path else b'{"token":"x"}')(path, writer)
            return
        realm = server.url("/token?evil=1" if "evil" in path else "/token")
        scheme = "Basic" if "basic" in path else "Bearer"
        writer.write(head("401 Unauthorized", content_length="0", **{"www-authenticate": f'{scheme} realm="{realm}"'}))

    async with serving(never) as server:
        for name, why in (("app", "does not let us"), ("basic", "password")):
            told = await refusal(f"127.0.0.1:{server.port}/{name}:1", tmp_path / name)
            assert why in told.message
        assert len(server.asked) < 8


@pytest.mark.parametrize("size", [0, 4])
async def test_blobs_of_the_wrong_size_or_content_are_refused(tmp_path: Path, size: int) -> None:
    """C9: an endless blob is cut off at what the manifest says it has."""
    image = the_image()
    last = json.loads(image.manifest)["layers"][-1]["digest"]
    image.blobs[last] = image.blobs[last][:-1] + b"x" + b"y" * (size << 20)
    async with a_registry(image) as registry:
        assert isinstance(await refusal(registry.reference, tmp_path / "root"), ArtifactRefused)


async def test_a_manifest_of_another_digest_is_refused(tmp_path: Path) -> None:
    """C9: asked for by digest, in the reference and in a list."""
    image = the_image()
    async with a_registry(image) as registry:
        wrong = registry.reference + "@" + digest_of(b"other")
        image.blobs[digest_of(b"other")] = image.manifest
        assert isinstance(await refusal(wrong, tmp_path / "a"), ArtifactRefused)
    listed = a_list(image)
    listed.blobs[image.top["digest"]] = an_image(BASE).manifest
    async with a_registry(listed) as registry:
        assert isinstance(await refusal(registry.reference, tmp_path / "b"), ArtifactRefused)


async def test_lists_of_lists_end(tmp_path: Path) -> None:
    """C9: a chain of lists, each with a right digest, is followed a few times."""
    async with a_registry(a_list(the_image(), depth=10)) as registry:
        assert "deeper" in (await refusal(registry.reference, tmp_path / "root")).message
        assert len(registry.server.asked) < 8


async def test_an_endless_manifest_is_cut_off(tmp_path: Path) -> None:
    """C9: a few megabytes are taken, not more."""

    async def endless(path: str, writer: Writer) -> None:
        writer.write(head())
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with serving(endless) as server:
        told = await refusal(f"127.0.0.1:{server.port}/app", tmp_path / "root")
    assert "larger" in told.message


async def test_a_circle_of_redirects_ends_and_a_missing_image_says_so(tmp_path: Path) -> None:
    """Both say which image; a registry that is not there may come back."""
    async with serving(redirect(lambda path: path)) as server:
        assert "redirects" in (await refusal(f"127.0.0.1:{server.port}/app", tmp_path / "a")).message
    async with serving(answer(b"none", "404 Not Found")) as server:
        source = f"127.0.0.1:{server.port}/app"
        assert "404" in (await refusal(source, tmp_path / "b")).message
    assert isinstance(await refusal(source, tmp_path / "c"), ArtifactUnavailable)


def test_our_archives_read_as_those_of_everybody(tmp_path: Path) -> None:
    """Long names, GNU and POSIX, and owners beyond eight octal digits: as `tarfile` writes them."""
    name, target = "d/" * 60 + "f" * 90, "t" * 150
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        content = layer(
            a_file(name, b"x", uid=3_000_000, mtime=86400 * 365), a_link("l", target), a_file("é", b"y"), form=form
        )
        root = tmp_path / f"root{form}"
        unpacked = unpack(an_image(content).layout(tmp_path / f"image{form}"), root)
        assert unpacked.attributes[name].uid == 3_000_000
        assert (root / name).stat().st_mtime == 86400 * 365
        assert str((root / "l").readlink()) == target
        assert (root / "é").read_bytes() == b"y"
