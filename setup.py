"""Installs hln-tf: the model, its preprocessing, tuning and serving."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "hln_tf/common/__init__.py").read_text("utf-8"), re.MULTILINE
)[1]

# What some commands need: `serving` the server and its client, `plots` figures and
# TensorBoard's diagnostics, `download` that of public logs.
EXTRAS = {
    "download": ["py7zr>=1.0", "requests>=2.32"],
    "serving": [
        "grpcio>=1.74",
        "grpcio-health-checking>=1.72.1",
        "grpcio-reflection>=1.72.1",
        "httptools>=0.6.2",
        "orjson>=3.10.7",
        "python-rapidjson>=1.20",
        "starlette>=0.40",
        "tensorflow-serving-api>=2.21,<2.22",
        "urllib3>=2.0",
        "uvicorn>=0.30",
        "uvloop>=0.21",
    ],
    "plots": ["jinja2>=3.1", "matplotlib>=3.10"],
    "s3": ["apache-beam[aws]>=2.77,<2.78", "s3fs>=2025.2"],
    "docs": [
        "ipykernel>=6.29",
        "l2m4m>=1.0.4",
        "mkdocs-material>=9.6",
        "mkdocstrings[python]>=0.28",
        "nbclient>=0.10",
        "nbconvert>=7.16",
    ],
    # With its own demand on TensorFlow: built for another one, it fails to load.
    "scann": ["scann[tf]>=1.4.2"],
    "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
}

setup(
    name="hln-tf",
    version=VERSION,
    description="Hierarchical Leaping Networks for session-based recommendation",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="The hln-tf developers",
    license_expression="Apache-2.0",
    project_urls={"Paper": "https://doi.org/10.1145/3397271.3401217"},
    keywords=[
        "recommender systems",
        "session-based recommendation",
        "next-item prediction",
        "recurrent neural networks",
        "TensorFlow",
        "Keras",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["hln_tf*", "beam_preprocess*", "tuning*", "serving*"]),
    package_data={
        "": ["*.pyi"],
        "beam_preprocess": ["download/*.toml"],
        "hln_tf": ["py.typed"],
        "hln_tf.analysis": ["page.html"],
        "serving": ["page/*", "*.proto"],
    },
    # Lower bounds have wheels for each Python; CI tests them. Upper bounds are those of packages
    # whose private parts are used, which docs/reference/dependencies.md lists.
    install_requires=[
        "apache-beam>=2.77,<2.78",
        "fsspec>=2025.2",
        "google-crc32c>=1.7",
        "keras-tuner>=1.4.8,<1.5",
        "lazy-loader>=0.4",
        "numpy>=2.0",
        "pyarrow>=25",
        "PyYAML>=6.0.2",
        "scikit-learn>=1.5.2",
        "scipy>=1.14.1",
        "tensorboard>=2.21",
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability[tf]>=0.25,<0.26",
        "tensorflow-recommenders>=0.7.7",
        "tf-keras>=2.21,<2.22",
        "threadpoolctl>=3.5",
        "tqdm>=4.66",
    ],
    extras_require={
        **EXTRAS,
        "dev": [
            *EXTRAS["docs"],
            *EXTRAS["download"],
            *EXTRAS["plots"],
            *EXTRAS["s3"],
            *EXTRAS["serving"],
            "build>=1.2",
            "geventhttpclient>=2.3.2",
            "hypothesis>=6.100",
            "jax>=0.10",
            "moto[s3,server]>=5.1",
            "mypy>=1.15",
            "openapi-spec-validator>=0.9",
            "pandas>=2.2.3",
            "playwright>=1.50",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "pytrec-eval-terrier>=0.5.7",
            "ruff>=0.9",
            "schemathesis>=4.0",
            "tritonclient>=2.50",
            "trustme>=1.2",
            "twine>=6.1",
            "types-requests",
            "types-tqdm",
        ],
    },
)
