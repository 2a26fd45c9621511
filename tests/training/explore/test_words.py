def test_better_anchors_are_given_as_a_recipe_takes_them(facts, page) -> None:
    names = [item["name"] for item in facts["anchors"]]
    assert names == ["recipe", "stock", "study", *["found"] * 5]
    assert facts["anchors"][0]["unreached"] == facts["unreached"]
    assert facts["anchors"][2]["aspect_ratios"] == [1.0, 2.85, 0.35]
    found = [item["unreached"] for item in facts["anchors"][3:]]
    assert found == sorted(found)
    assert found[0] <= facts["anchors"][1]["unreached"]
    ratios = ", ".join(f"{ratio:g}" for ratio in facts["anchors"][3]["aspect_ratios"])
    assert f"aspect_ratios = [{ratios}]" in page.text
    assert f"anchor_scale = {facts['anchors'][3]['anchor_scale']:g}" in page.text
