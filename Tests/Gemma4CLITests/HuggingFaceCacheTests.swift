import Foundation
import TestSupport
import Testing

/// Repositories in Hugging Face's cache.
@Suite struct HuggingFaceCacheTests {
    private let directory: TemporaryDirectory
    private var repository: String { "\(directory.path)/hub/models--google--gemma-4-tiny" }

    /// As `hf download` lays it out: blobs by their hash, links to them in a snapshot, its hash in `refs/main`.
    init() throws {
        directory = try TemporaryDirectory()
        let files = FileManager.default
        for folder in ["blobs", "refs", "snapshots/0123abcd", "snapshots/4567cdef"] {
            try files.createDirectory(atPath: "\(repository)/\(folder)", withIntermediateDirectories: true)
        }
        let checkpoint = Goldens.checkpoint("E2B")
        for (index, name) in try files.contentsOfDirectory(atPath: checkpoint).enumerated() {
            try files.copyItem(atPath: "\(checkpoint)/\(name)", toPath: "\(repository)/blobs/\(index)")
            try files.createSymbolicLink(
                atPath: "\(repository)/snapshots/0123abcd/\(name)", withDestinationPath: "../../blobs/\(index)")
        }
        try Data("0123abcd".utf8).write(to: URL(filePath: "\(repository)/refs/main"))
    }

    private func inspect(_ model: String, _ environment: [String: String]) async throws -> Program.Outcome {
        var program = Program("inspect", model, "--format", "json")
        program.environment = environment.merging(["HOME": "/nowhere"]) { given, _ in given }
        return try await program.run()
    }

    /// The output without measured values.
    private static func facts(_ outcome: Program.Outcome) -> String {
        outcome.text.replacing(/"first_product_share": [0-9.e-]+/, with: "")
    }

    @Test func aRepositoryIsFoundByItsName() async throws {
        let expected = try await Program("inspect", Goldens.checkpoint("E2B"), "--format", "json").run()
        for environment in [
            ["HF_HOME": directory.path], ["HF_HUB_CACHE": "\(directory.path)/hub", "HF_HOME": "/nowhere"],
            ["HUGGINGFACE_HUB_CACHE": "\(directory.path)/hub"],
        ] {
            let outcome = try await inspect("google/gemma-4-tiny", environment)
            #expect(
                outcome.status == 0 && Self.facts(outcome) == Self.facts(expected),
                "\(environment): \(outcome.messages)")
        }
        var program = Program("generate", "--model", "google/gemma-4-tiny", "--max-tokens", "2", "a")
        program.environment = ["HF_HOME": directory.path]
        #expect(try await program.run().status == 0)
    }

    @Test func theDefaultPlacesAreLookedAt() async throws {
        let files = FileManager.default
        let home = try TemporaryDirectory()
        try files.createDirectory(atPath: "\(home.path)/.cache/huggingface", withIntermediateDirectories: true)
        try files.createSymbolicLink(
            atPath: "\(home.path)/.cache/huggingface/hub", withDestinationPath: "\(directory.path)/hub")
        #expect(try await inspect("google/gemma-4-tiny", ["HOME": home.path]).status == 0)
        #expect(
            try await inspect("google/gemma-4-tiny", ["XDG_CACHE_HOME": "\(home.path)/.cache"]).status == 0)
    }

    @Test func aFolderOfTheCacheIsAModel() async throws {
        #expect(try await inspect(repository, [:]).status == 0)
        #expect(try await inspect("\(repository)/snapshots/0123abcd", [:]).status == 0)
        // Without a name for its commit: the newest.
        try FileManager.default.removeItem(atPath: "\(repository)/refs/main")
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 0)], ofItemAtPath: "\(repository)/snapshots/4567cdef")
        #expect(try await inspect(repository, [:]).status == 0)
    }

    /// A folder of that name goes first, as in transformers.
    @Test func aFolderOfTheNameGoesFirst() async throws {
        var program = Program("inspect", "google/gemma-4-tiny")
        let here = try TemporaryDirectory()
        try FileManager.default.createDirectory(
            atPath: "\(here.path)/google/gemma-4-tiny", withIntermediateDirectories: true)
        program.directory = here.path
        program.environment = ["HF_HOME": directory.path]
        let outcome = try await program.run()
        #expect(
            outcome.status == 66 && outcome.messages.contains("google/gemma-4-tiny/config.json"), "\(outcome.messages)")
    }

    @Test func whatIsNotThereIsNamedWithItsRemedy() async throws {
        let outcome = try await inspect("google/gemma-4-none", ["HF_HOME": directory.path])
        #expect(outcome.status == 66)
        #expect(
            outcome.messages
                == "gemma4: google/gemma-4-none: no such directory or file, nor a repository in \(directory.path)/hub. Get it with: hf download google/gemma-4-none\n"
        )
        // An incomplete download reports what is missing.
        try FileManager.default.removeItem(atPath: "\(repository)/snapshots/0123abcd/config.json")
        let half = try await inspect("google/gemma-4-tiny", ["HF_HOME": directory.path])
        #expect(half.status == 66 && half.messages.contains("snapshots/0123abcd/config.json"))
    }
}
