// swift-tools-version: 6.3
import PackageDescription

// A service that links Gemma4Kit as any other would: by its product, with one import and no flags.
let package = Package(
    name: "consumer",
    dependencies: [.package(name: "gemma4-swift", path: "../..")],
    targets: [.executableTarget(name: "consumer", dependencies: [.product(name: "Gemma4Kit", package: "gemma4-swift")])]
)
