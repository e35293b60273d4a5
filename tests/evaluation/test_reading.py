from cyclegan.evaluation.reading import drawn, fingerprint_of


def test_what_is_drawn_keeps_its_order_and_depends_on_the_seed_alone():
    items = [f"{number}.png" for number in range(50)]
    first = drawn(items, 10, seed=1)
    assert first == sorted(first, key=items.index) == drawn(items, 10, seed=1) != drawn(items, 10, seed=2)
    assert len(set(first)) == 10
    assert drawn(items, 100, seed=1) == items


def test_the_fingerprint_depends_on_names_and_contents_but_not_on_the_place(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.png").write_bytes(b"content")
    one, two = (fingerprint_of([tmp_path / place / "a.png"]) for place in ("one", "two"))
    (tmp_path / "two" / "a.png").write_bytes(b"another")
    assert one == two != fingerprint_of([tmp_path / "two" / "a.png"])
