"""A page as people use it, in a real browser: Chromium without a window."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from pipeline.report.page import Gallery, Page, Picture, Section, files
from pipeline.report.tables import Table

pytestmark = pytest.mark.slow
COUNT = 5000
NAMES = ["cat", '<script>document.title = "taken"</script>', "10", "9"]
RNG = np.random.default_rng(0)
LABELS = RNG.integers(len(NAMES), size=COUNT)
CONFIDENCES = RNG.permutation(COUNT) / COUNT
GRADES = np.where(RNG.random(COUNT) < 0.7, "high", "low")


def _image(number, place):
    """Three pixels by two, which tell the example and which of its images it is."""
    return np.array([[number % 256, number // 256, place], [7, 8, 9]], np.uint8)[..., None]


def _text(number):
    return f"{CONFIDENCES[number]:.4f}"


def _write(folder, count=COUNT):
    gallery = Gallery(
        ["confidence"], ["label", "read as"], {"grade": "high"}, "peerpressure replay x {id} --workdir runs"
    )
    for number in range(count):
        row = {
            "target net": f"mlp-{number % 3}",
            "label": NAMES[LABELS[number]],
            "confidence": _text(number),
            "grade": str(GRADES[number]),
        }
        images = [_image(number, place) for place in range(2)]
        gallery.add(f"{number:032x}", row, images, [("seed.id", f"seed {number}"), ("label", NAMES[LABELS[number]])])
    picture = Picture("one", "one", "a picture", lambda stream: Image.new("L", (900, 60)).save(stream, "PNG"))
    wide = Table([[f"column {place}" for place in range(30)], ["1.0"] * 30])
    sections = [
        Section("overview", "Overview", ["first"], tables=[wide], commands=[("Check", "peerpressure verify x")]),
        Section("found", "What was found", pictures=[picture], text="x" * 300),
    ]
    folder.mkdir(exist_ok=True)
    for name, data in files(Page("dataset/task", "5,000 examples", sections, gallery)).items():
        (folder / name).write_bytes(data)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def chromium():
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("page") / "page")


@pytest.fixture
def page(chromium, address):
    """Opens the page anew with choices in its address, as wide as a desk's screen; no error may be told by the end."""
    _emulate(chromium, 1280, 900)

    def open_page(choices="section=examples"):
        chromium.get("about:blank")
        chromium.get(f"{address}#{choices}")
        return chromium

    yield open_page
    assert chromium.get_log("browser") == []


def _emulate(chromium, width, height, scheme="light", media=""):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def _tiles(chromium):
    found = chromium.find_elements(By.CSS_SELECTOR, ".tile")
    return sorted(found, key=lambda tile: int(tile.get_attribute("data-place")))


def _count(chromium):
    return chromium.find_element(By.ID, "count").text


def _choose(chromium, control, name):
    Select(chromium.find_element(By.ID, control)).select_by_visible_text(name)


def _shown_sections(chromium):
    return [
        each.get_attribute("id")
        for each in chromium.find_elements(By.CSS_SELECTOR, "main section")
        if each.is_displayed()
    ]


def _until(chromium, condition):
    return WebDriverWait(chromium, 20).until(lambda _: condition())


def test_one_section_is_open_at_a_time_and_named_in_the_address(page):
    chromium = page("")
    assert _shown_sections(chromium) == ["overview"]
    chromium.find_element(By.LINK_TEXT, "What was found").click()
    assert _shown_sections(chromium) == ["found"] and "section=found" in chromium.current_url
    assert chromium.find_element(By.CSS_SELECTOR, "nav [aria-current=page]").text == "What was found"
    chromium.back()
    assert _shown_sections(chromium) == ["overview"]


def test_what_the_kind_shows_first_is_chosen_and_all_can_be_shown(page):
    chromium = page()
    assert _count(chromium) == f"{(GRADES == 'high').sum():,} of {COUNT:,}"
    chromium.find_element(By.ID, "all").click()
    assert _count(chromium) == f"{COUNT:,} of {COUNT:,}"


@pytest.mark.parametrize("label", range(len(NAMES)))
def test_filters_show_all_examples_that_fit_and_no_others(page, label):
    chromium = page()
    _choose(chromium, "is label", NAMES[label])
    _choose(chromium, "is target net", "mlp-1")
    fits = (label == LABELS) & (GRADES == "high") & (np.arange(COUNT) % 3 == 1)
    assert _count(chromium) == f"{fits.sum():,} of {COUNT:,}"
    told = [tile.get_attribute("aria-label") for tile in _tiles(chromium)]
    assert told and all(f"label {NAMES[label]}," in each and "target net mlp-1," in each for each in told)
    assert chromium.title.startswith("dataset/task")


def test_sorting_by_a_number_goes_by_its_value_either_way(page):
    chromium = page("section=examples&is+grade=*")
    _choose(chromium, "sort", "confidence")
    ascending = np.argsort(CONFIDENCES)
    assert [tile.get_attribute("aria-label").split("confidence ")[1][:6] for tile in _tiles(chromium)[:5]] == [
        _text(number) for number in ascending[:5]
    ]
    chromium.find_element(By.ID, "down").click()
    assert f"confidence {_text(ascending[-1])}" in _tiles(chromium)[0].get_attribute("aria-label")


def test_names_that_are_numbers_are_sorted_as_numbers(page):
    chromium = page()
    names = [option.text for option in Select(chromium.find_element(By.ID, "is label")).options]
    assert names.index("9") < names.index("10")


def test_choices_stay_when_another_section_is_opened_and_when_the_page_is_loaded_again(page):
    chromium = page()
    _choose(chromium, "is label", "cat")
    _choose(chromium, "sort", "confidence")
    before = [tile.get_attribute("aria-label") for tile in _tiles(chromium)]
    chromium.find_element(By.LINK_TEXT, "Overview").click()
    assert _shown_sections(chromium) == ["overview"]
    chromium.find_element(By.LINK_TEXT, "Examples").click()
    assert [tile.get_attribute("aria-label") for tile in _tiles(chromium)] == before
    chromium.refresh()
    assert [tile.get_attribute("aria-label") for tile in _tiles(chromium)] == before


def test_only_tiles_in_sight_are_there_and_the_last_one_is_reached(page):
    chromium = page("section=examples&is+grade=*")
    assert 20 < len(_tiles(chromium)) < 600
    chromium.execute_script("document.getElementById('view').scrollTop = 1e9")
    last = _until(chromium, lambda: chromium.find_elements(By.CSS_SELECTOR, f"[data-place='{COUNT - 1}']"))
    assert _text(COUNT - 1) in last[0].get_attribute("aria-label")
    assert len(_tiles(chromium)) < 600


def test_the_images_of_a_tile_are_those_of_its_example(page):
    chromium = page("section=examples&is+grade=*&sort=confidence")
    pixels = chromium.execute_async_script("""
        const done = arguments[0], sprites = [...document.querySelectorAll(".tile .sprite")].slice(0, 12);
        Promise.all(sprites.map((sprite) => new Promise((resolve) => {
          const style = sprite.style, sheet = new Image();
          sheet.onload = () => {
            const scale = parseFloat(style.width) / gallery.width, canvas = document.createElement("canvas");
            const [x, y] = style.backgroundPosition.split(" ").map((each) => Math.round(parseFloat(each) / scale));
            [canvas.width, canvas.height] = [gallery.width, gallery.height];
            const context = canvas.getContext("2d");
            context.drawImage(sheet, x, y);
            const drawn = context.getImageData(0, 0, canvas.width, canvas.height).data;
            resolve([...drawn].filter((_, place) => place % 4 === 0));
          };
          sheet.src = style.backgroundImage.slice(5, -2);
        }))).then(done);
    """)
    ascending = np.argsort(CONFIDENCES)
    assert pixels == [_image(number, place).ravel().tolist() for number in ascending[:6] for place in range(2)]


def test_an_example_opens_with_its_record_and_the_command_that_makes_it_again(page):
    chromium = page("section=examples&is+grade=*")
    tile = _tiles(chromium)[4]
    tile.click()
    dialog = chromium.find_element(By.ID, "detail")
    _until(chromium, lambda: "seed 4" in dialog.text)
    assert dialog.is_displayed() and f"id={4:032x}" in chromium.current_url
    assert chromium.find_element(By.ID, "command").text == f"peerpressure replay x {4:032x} --workdir runs"
    dialog.send_keys(Keys.ARROW_RIGHT)
    _until(chromium, lambda: "seed 5" in dialog.text)
    chromium.find_element(By.ID, "before").click()
    _until(chromium, lambda: "seed 4" in dialog.text)
    dialog.send_keys(Keys.ESCAPE)
    _until(chromium, lambda: not dialog.is_displayed())
    assert "id=" not in chromium.current_url
    assert chromium.switch_to.active_element.get_attribute("data-place") == "4"


def test_an_example_is_linked_to(page):
    chromium = page(f"section=examples&id={4321:032x}")
    dialog = chromium.find_element(By.ID, "detail")
    _until(chromium, lambda: "seed 4321" in dialog.text)


def test_the_gallery_is_walked_through_by_keys(page):
    chromium = page("section=examples&is+grade=*")
    view = chromium.find_element(By.ID, "view")
    view.send_keys(Keys.ARROW_RIGHT)

    def place():
        return int(chromium.switch_to.active_element.get_attribute("data-place"))

    assert place() == 0
    chromium.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert place() == 1
    chromium.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    below = place()
    assert below > 2
    chromium.switch_to.active_element.send_keys(Keys.ARROW_UP)
    assert place() == 1
    chromium.switch_to.active_element.send_keys(Keys.END)
    assert place() == COUNT - 1
    chromium.switch_to.active_element.send_keys(Keys.ENTER)
    _until(chromium, lambda: f"seed {COUNT - 1}" in chromium.find_element(By.ID, "detail").text)


def test_the_slider_makes_images_larger_and_is_kept(page):
    chromium = page()
    before = _tiles(chromium)[0].size["width"]
    slider = chromium.find_element(By.ID, "size")
    slider.send_keys(Keys.END)
    assert _tiles(chromium)[0].size["width"] > 2 * before and "size=224" in chromium.current_url
    chromium.refresh()
    assert _tiles(chromium)[0].size["width"] > 2 * before


@pytest.mark.parametrize("section", ["overview", "examples", "found"])
@pytest.mark.parametrize("width", [360, 1280, 2400])
def test_nothing_is_wider_than_the_window(page, chromium, section, width):
    _emulate(chromium, width, 800)
    page_width = page(f"section={section}").execute_script("return document.documentElement.scrollWidth")
    assert page_width <= width


def test_dark_and_light_follow_the_system(page, chromium):
    grounds = []
    for scheme in ("light", "dark"):
        page()
        _emulate(chromium, 1280, 900, scheme)
        colour = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
        grounds.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
    assert grounds[0] > 600 and grounds[1] < 150


def test_all_sections_are_printed(page, chromium):
    page("section=found")
    _emulate(chromium, 1280, 900, media="print")
    assert _shown_sections(chromium) == ["overview", "examples", "found"]
    printed = chromium.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


def test_a_page_without_examples_opens(chromium, tmp_path):
    _emulate(chromium, 1280, 900)
    chromium.get(f"{_write(tmp_path / 'empty', 0)}#section=examples")
    assert _count(chromium) == "0 of 0" and chromium.get_log("browser") == []


def test_the_page_looks_like_something(page, chromium):
    with Image.open(io.BytesIO(base64.b64decode(page().get_screenshot_as_base64()))) as shot:
        assert len(np.unique(np.asarray(shot.convert("L")))) > 50
