# Each target is a thin name for a command that anyone may type.
PACKAGES := libopenblas-dev libsndfile1-dev libmpg123-dev libsoxr-dev libpng-dev libjpeg-dev libwebp-dev libedit-dev pkg-config \
	$(if $(shell which clang-format),,clang-format)
GEMMA4   := .build/release/gemma4
TINY     := Tests/Goldens/E2B
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# At most 32 tests at once: with all of them 1,900 descriptors were open, and a run hung although no program that it waited for ran.
SWIFT_TEST := swift test -c release -Xswiftc -enable-testing --scratch-path .build-test \
	--experimental-maximum-parallelization-width 32

.DEFAULT_GOAL := help
.PHONY: help deps build install deb test-deb sbom test test-tsan test-valgrind test-cpus fuzz docs goldens \
	bench model-given bench-peers agree-peers test-clients test-deploy soak-server bench-server media-corpora demo demo-eval \
	format lint clean

help:    ## list the targets
	@sed -nE 's/^([a-z-]+): .*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

deps:    ## install the Debian packages that are missing
	@missing=$$(for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing:" $$missing; \
	$(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; \
	else echo "nothing missing: $(PACKAGES)"; fi

build:    ## build the program: .build/release/gemma4
	swift build -c release --product gemma4

PREFIX ?= /usr/local

install: build    ## install program, models, man pages and completions: make install [PREFIX=/usr/local] [DESTDIR=]
	Packaging/install.sh $(GEMMA4) "$(DESTDIR)" "$(PREFIX)"

deb: build    ## build a Debian package: .build-deb/gemma4_VERSION_ARCHITECTURE.deb (needs dpkg-dev, patchelf)
	Packaging/deb.sh $(GEMMA4) .build-deb

test-deb: deb    ## look at the package with lintian; install, run and remove it in a new Debian (needs root, mmdebstrap)
	lintian --fail-on error,warning .build-deb/*.deb
	Packaging/test-deb.sh .build-deb/*.deb

sbom: build    ## list what the program is made of, as CycloneDX: .build/sbom.json
	python3 Packaging/sbom.py $(GEMMA4) > .build/sbom.json

# The server's tests have a process of their own: in one with all others, timers stopped once, and the tests with them.
test:    ## run every test, in release mode, and a package that links the library
	$(SWIFT_TEST) --skip Gemma4ServerTests
	$(SWIFT_TEST) --skip-build --filter Gemma4ServerTests
	swift build --package-path Tests/Consumer
	Tests/Consumer/.build/debug/consumer $(TINY)/checkpoint Tests/Goldens/attachments/wide.png Tests/Goldens/attachments/chirp.wav

goldens:    ## make the reference values anew (Python, transformers; see Tests/Goldens/README.md)
	Tests/Goldens/run.sh

test-tsan:    ## run the tests of the engine under the thread sanitizer
	TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/tsan.supp GEMMA4_SCHEDULES=$${GEMMA4_SCHEDULES:-1} \
	swift test --sanitize=thread --scratch-path .build-tsan --filter "EngineTests|GenerationTests|ConversationTests"

test-valgrind:    ## run the kernels, each against the scalar one, under valgrind
	Tests/CPUs/run.sh valgrind

test-cpus: build    ## emulate CPUs: kernels and answers without AVX2, with AVX2 alone, on arm64 (needs qemu-user, a cross compiler)
	Tests/CPUs/run.sh $(GEMMA4)

# Swift's driver links libFuzzer with a main of its own; only the compiler is asked for it, and the other library linked.
FUZZ_LIBRARY = $(shell clang -print-resource-dir)/lib/linux/libclang_rt.fuzzer_no_main-$(shell uname -m).a
FUZZ_BUILD   = GEMMA4_FUZZ=1 swift build -c release --product Fuzz --scratch-path .build-fuzz --sanitize address \
	-Xswiftc -enable-testing -Xswiftc -Xfrontend -Xswiftc -sanitize=fuzzer -Xcc -fsanitize=fuzzer-no-link \
	-Xswiftc -use-ld=lld -Xlinker $(FUZZ_LIBRARY) -Xlinker -lstdc++
SECONDS      ?= 1800

fuzz:    ## look for inputs that break a reader: make fuzz TARGET=gguf [SECONDS=1800]; without TARGET, list them
	$(FUZZ_BUILD)
	mkdir -p .build-fuzz/corpus/$(TARGET) .build-fuzz/found
	TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) SWIFT_BACKTRACE=enable=no \
	LSAN_OPTIONS=suppressions=Tests/FuzzTests/leaks.supp:print_suppressions=0 PATH=/nowhere \
	.build-fuzz/release/Fuzz $(TARGET) -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
	-artifact_prefix=.build-fuzz/found/$(TARGET)- .build-fuzz/corpus/$(TARGET)

docs:    ## write the library's documentation as a website: .build/docs
	swift package --allow-writing-to-directory .build/docs generate-documentation --target Gemma4Kit --output-path .build/docs

bench: build    ## measure this machine on weights of E2B's shape
	$(GEMMA4) bench --synthetic E2B

model-given:
	@test -n "$(MODEL)" || { echo "say which: make TARGET MODEL=file.gguf"; exit 2; }

PEERS := .build-peers
$(PEERS)/installed: Tests/Peers/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet -r $<
	touch $@

bench-peers: model-given build $(PEERS)/installed    ## time llama.cpp and us in turn: make bench-peers MODEL=file.gguf [MMPROJ=towers.gguf] (builds llama.cpp at first)
	$(PEERS)/bin/python Tests/Peers/compare.py $(MODEL) $(if $(MMPROJ),--mmproj $(MMPROJ)) --program $(GEMMA4)

agree-peers: model-given build $(PEERS)/installed    ## compare llama.cpp's log-probabilities and answers with ours: make agree-peers MODEL=file.gguf
	$(PEERS)/bin/python Tests/Peers/agree.py $(MODEL) --program $(GEMMA4)

CLIENTS := .build-clients
$(CLIENTS)/installed: Tests/Clients/requirements.txt
	python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet -r $<
	touch $@

test-clients: build $(CLIENTS)/installed    ## ask serve what openai's and anthropic's Python packages and a browser ask (needs curl, wrk, chromium)
	$(CLIENTS)/bin/python Tests/Clients/clients.py --program $(GEMMA4)
	$(CLIENTS)/bin/python Tests/Clients/page.py --program $(GEMMA4)

DEPLOYMENT := .build-deployment
$(DEPLOYMENT)/installed: Tests/Deployment/requirements.txt
	python3 -m venv $(DEPLOYMENT)
	$(DEPLOYMENT)/bin/pip install --quiet -r $<
	touch $@

test-deploy: build $(DEPLOYMENT)/installed    ## run nginx, Slurm, Ray … before serve and transcribe, as far as they are installed
	$(DEPLOYMENT)/bin/python Tests/Deployment/deployment.py --program $(GEMMA4)

soak-server: build    ## ask serve 2,000 requests of all kinds, and look at its memory and descriptors
	python3 Tests/Clients/load.py soak --program $(GEMMA4) --model $(TINY)/checkpoint

bench-server: model-given build    ## time eight clients of serve: make bench-server MODEL=file.gguf [PEER=llama-server]
	python3 Tests/Clients/load.py rates --program $(GEMMA4) --model $(MODEL) $(if $(PEER),--peer $(PEER))

CORPORA := .build-corpora
$(CORPORA)/installed: Tests/Corpora/requirements.txt
	python3 -m venv $(CORPORA)/venv
	$(CORPORA)/venv/bin/pip install --quiet -r $<
	Tests/Corpora/fetch.sh $(CORPORA) libpng1.6 libjpeg-turbo libwebp libheif giflib pillow skimage python-wand
	touch $@

media-corpora: build $(CORPORA)/installed    ## compare other projects' pictures and sound with Pillow, soundfile, ffmpeg (needs apt-get, ffmpeg, heif-convert)
	$(CORPORA)/venv/bin/python Tests/Corpora/pictures.py $(CORPORA)
	GEMMA4_CORPORA=$(abspath $(CORPORA)) $(SWIFT_TEST) --filter CorporaTests
	GEMMA4_MODEL=Models/Demo $(CORPORA)/venv/bin/python Tests/Corpora/sound.py --program $(GEMMA4) --work $(CORPORA)

demo: build    ## transcribe and caption the demo model's samples
	$(GEMMA4) transcribe Models/Demo/samples/*.wav
	$(GEMMA4) caption Models/Demo/samples/picture-*.png

demo-eval: build    ## word errors and exact captions of Models/Demo on held-out data, transformers' beside ours
	Models/Demo/train/eval.sh

C_FILES = $(shell find Sources -name '*.[ch]')

format:    ## format the Swift and C sources in place
	swift format --in-place --parallel --recursive --configuration .swift-format Package.swift Sources Tests
	clang-format -i $(C_FILES)

lint:    ## refuse sources that `make format` would change, and public declarations without documentation
	swift format lint --strict --parallel --recursive --configuration .swift-format Package.swift Sources Tests
	clang-format --dry-run --Werror $(C_FILES)

clean:    ## remove what was built
	rm -rf .build .build-test .build-tools .build-tsan .build-fuzz .build-deb .build-cpus .build-peers .build-clients \
		.build-deployment .build-corpora Tests/Consumer/.build
