// swift-tools-version: 6.3
import PackageDescription

// Targets stand in the order of the picture in README.md: imports go downward only.
let package = Package(
    name: "gemma4-swift",
    products: [
        .executable(name: "gemma4", targets: ["Gemma4CLI"]),
        .library(name: "Gemma4Kit", targets: ["Gemma4Kit"]),
        .library(name: "Gemma4Server", targets: ["Gemma4Server"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.0.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.25.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.16.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.24.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"),
    ],
    targets: [
        .executableTarget(
            name: "Gemma4CLI",
            dependencies: [
                "Gemma4Server", "Gemma4Kit", "Conversion", "Generation", "Gemma4", "Tokenization", "Media", "Weights",
                "Tensors", "JSONText", "CEdit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "Gemma4Server",
            dependencies: [
                "Gemma4Kit", "Transcription", "Generation", "Gemma4", "Tokenization", "Media", "JSONText",
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            exclude: ["Deployment"],
            resources: [
                .embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js"),
            ]),
        .target(
            name: "Gemma4Kit",
            dependencies: [
                "Transcription", "Conversion", "Generation", "Gemma4", "Tokenization", "Grammar", "Media", "Weights",
                "Tensors", "JSONText", .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "Transcription", dependencies: ["Generation", "Media", "JSONText"]),
        .target(
            name: "Conversion",
            dependencies: ["Generation", "Gemma4", "Tokenization", "Media", "Weights", "Tensors"]),
        .target(name: "Generation", dependencies: ["Gemma4", "Tokenization", "Grammar", "Tensors"]),
        .target(name: "Gemma4", dependencies: ["Weights", "Tensors", "JSONText"]),
        .target(name: "Tokenization", dependencies: ["JSONText"]),
        .target(name: "Grammar", dependencies: ["JSONText"]),
        .target(name: "Media", dependencies: ["CImageDecoding", "CSndFile", "CMPG123", "CSoxr"]),
        .target(name: "Weights", dependencies: ["Tensors", "JSONText"]),
        .target(
            name: "Tensors", dependencies: ["CKernels", "COpenBLAS", .product(name: "Logging", package: "swift-log")]),
        .target(name: "JSONText"),
        .target(name: "CKernels"),
        .target(
            name: "CImageDecoding", dependencies: ["CPNG", "CJPEG", "CWebP"], linkerSettings: [.linkedLibrary("z")]),

        .systemLibrary(
            name: "COpenBLAS", path: "Modulemaps/COpenBLAS", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
        .systemLibrary(
            name: "CSndFile", path: "Modulemaps/CSndFile", pkgConfig: "sndfile",
            providers: [.apt(["libsndfile1-dev"]), .brew(["libsndfile"])]),
        .systemLibrary(
            name: "CMPG123", path: "Modulemaps/CMPG123", pkgConfig: "libmpg123",
            providers: [.apt(["libmpg123-dev"]), .brew(["mpg123"])]),
        .systemLibrary(
            name: "CSoxr", path: "Modulemaps/CSoxr", pkgConfig: "soxr",
            providers: [.apt(["libsoxr-dev"]), .brew(["libsoxr"])]),
        .systemLibrary(
            name: "CPNG", path: "Modulemaps/CPNG", pkgConfig: "libpng",
            providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
        .systemLibrary(
            name: "CJPEG", path: "Modulemaps/CJPEG", pkgConfig: "libjpeg",
            providers: [.apt(["libjpeg-dev"]), .brew(["jpeg-turbo"])]),
        .systemLibrary(
            name: "CWebP", path: "Modulemaps/CWebP", pkgConfig: "libwebpdemux",
            providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
        .systemLibrary(
            name: "CEdit", path: "Modulemaps/CEdit", pkgConfig: "libedit",
            providers: [.apt(["libedit-dev"]), .brew(["libedit"])]),

        .target(
            name: "TestSupport", dependencies: ["Tokenization", "Weights", "Tensors", "CSndFile"],
            path: "Tests/TestSupport"),
        .testTarget(name: "TensorsTests", dependencies: ["Tensors", "CKernels", "TestSupport"]),
        .testTarget(name: "WeightsTests", dependencies: ["Weights", "TestSupport"]),
        .testTarget(name: "JSONTextTests", dependencies: ["JSONText"]),
        .testTarget(name: "TokenizationTests", dependencies: ["Tokenization"]),
        .testTarget(name: "GrammarTests", dependencies: ["Grammar", "Tokenization"]),
        .testTarget(name: "MediaTests", dependencies: ["Media", "TestSupport"]),
        .testTarget(name: "Gemma4Tests", dependencies: ["Gemma4", "TestSupport"]),
        .testTarget(name: "GenerationTests", dependencies: ["Generation", "Grammar", "TestSupport"]),
        .testTarget(name: "TranscriptionTests", dependencies: ["Transcription", "TestSupport"]),
        .testTarget(name: "ConversionTests", dependencies: ["Conversion", "TestSupport"]),
        .testTarget(name: "Gemma4KitTests", dependencies: ["Gemma4Kit", "TestSupport"]),
        .testTarget(
            name: "Gemma4ServerTests",
            dependencies: [
                "Gemma4Server", "TestSupport", .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
            ]),
        .testTarget(name: "Gemma4CLITests", dependencies: ["Gemma4CLI", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6]
)

// The readers of untrusted bytes: a test goes through the committed inputs, `make fuzz` looks for others with libFuzzer,
// which is not there in an ordinary build.
let fuzzed: [Target.Dependency] = [
    "Gemma4Server", "Gemma4Kit", "Generation", "Gemma4", "Tokenization", "Grammar", "Media", "Weights", "JSONText",
    "TestSupport",
]
package.targets.append(
    Context.environment["GEMMA4_FUZZ"] == nil
        ? .testTarget(
            name: "FuzzTests", dependencies: fuzzed, exclude: ["Corpus", "leaks.supp"], sources: ["Targets", "Replay"])
        : .executableTarget(
            name: "Fuzz", dependencies: fuzzed, path: "Tests/FuzzTests", exclude: ["Corpus", "leaks.supp"],
            sources: ["Targets", "Driver"]))
