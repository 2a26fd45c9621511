def test_the_page_is_self_contained(report, page) -> None:
    pictures = [reference for reference in page.references if not reference.startswith("#")]
    assert len(pictures) == len(page.alternatives) >= 15
    assert all(reference.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for reference in pictures)
    assert all(page.alternatives)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} == page.ids
    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "iframe", "b"})
    assert "url(" not in (report / "report.html").read_text()


def test_names_are_text_and_never_markup(page) -> None:
    assert "Annotated photos: mouths & more" in page.text
    assert "Group <b>one</b>: 2 photos, fold 0." in page.text
