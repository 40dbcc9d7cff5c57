FROM rust:1.95.0-slim-trixie AS build
