"""Packaging. Beam ships the project to its workers with `--setup_file=./setup.py`, which runs `setup.py sdist`."""

import pathlib
import shutil

import setuptools
from setuptools.command.build_py import build_py

_ROOT = pathlib.Path(__file__).parent
_README = _ROOT / "README.md"

INSTALL_REQUIRES = [
    "absl-py>=2.1",
    "argcomplete>=3.5,<4",
    "apache-beam>=2.70,<3",
    "etils[epath]>=1.9",
    "importlib_resources>=6.0",  # TFDS imports it without declaring it for every Python.
    "jinja2>=3.1,<4",
    "keras>=3.12,<4",
    "matplotlib>=3.10,<4",
    "mlcroissant>=1.0,<2",  # The `tfds` command imports it.
    "numpy>=2.0,<3",
    "pillow>=11.0",
    "psutil>=5.9",
    "pyarrow>=16.0",
    "scikit-learn>=1.5,<2",
    "scipy>=1.13,<2",
    "tensorflow>=2.20,<2.22",
    "tensorflow-datasets>=4.9.9,<4.10",
    "tqdm>=4.66,<5",
]

EXTRAS_REQUIRE = {
    "frameworks": [
        "jax>=0.10,<0.11",  # Its jax2tf moves with its minor version. Keras imports it wherever it is there.
    ],
    "bench": [
        "foolbox>=3.3.4,<4",
        "ribs>=0.8,<1",
        "numba>=0.68",  # Foolbox's Brendel-Bethge attack compiles with it.
    ],
    "dev": [
        "dill>=0.3.8",  # TFDS's test cases import it.
        "hypothesis>=6.100,<7",
        "mypy>=1.11,<3",
        "packaging>=24",
        "pre-commit>=3.7",
        "pytest>=8.2,<10",
        "pytest-timeout>=2.3,<3",
        "pytest-xdist>=3.8,<4",
        "pyyaml>=6",
        "ruff>=0.15,<0.18",  # The formatter's style moves with its minor version.
        "selenium>=4.27,<5",
    ],
}


class BuildWithConfigs(build_py):
    """Puts `configs/` into the package too: `peerpressure reproduce` reads the experiments' files wherever it is."""

    def run(self):
        super().run()
        if (_ROOT / "configs").is_dir() and not self.editable_mode:
            shutil.copytree(_ROOT / "configs", pathlib.Path(self.build_lib, "pipeline", "configs"), dirs_exist_ok=True)


setuptools.setup(
    name="peer-pressure",
    version="0.1.0",
    description="Datasets of high-value mistakes, mined from groups of peer nets",
    long_description=_README.read_text(encoding="utf-8") if _README.exists() else "",
    long_description_content_type="text/markdown",
    author="The Peer Pressure authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["apache beam", "dataset generation", "tensorflow datasets"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    # TensorFlow has wheels up to Python 3.13.
    python_requires=">=3.11,<3.14",
    # Naming the root makes an editable install a plain path entry, which TFDS, type checkers and editors can follow.
    package_dir={"": "."},
    packages=setuptools.find_packages(include=["pipeline*", "models*", "tfds_builders*"]),
    package_data={"": ["README.md", "CITATIONS.bib", "TAGS.txt", "*.html"], "pipeline.report": ["templates/*"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["peerpressure = pipeline.__main__:console"]},
    cmdclass={"build_py": BuildWithConfigs},
    zip_safe=False,
)
