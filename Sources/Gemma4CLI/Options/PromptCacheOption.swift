import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import Synchronization

/// A file that stores the KV cache of a prompt.
struct PromptCacheOption: ParsableArguments {
    @Option(
        name: .customLong("prompt-cache"),
        help: ArgumentHelp("Keep what was read of the prompt there; go on from it.", valueName: "file"))
    var file: String?

    /// - Throws: an error with a diagnosis if the file is of another kind or model; `CommandError` if it cannot be
    ///   created.
    func open(_ pipeline: Gemma4Pipeline) async throws -> PromptCache? {
        guard let file else { return nil }
        let exists = try await pipeline.loadPromptCache(contentsOf: URL(filePath: file))
        if !exists { try OutputFile(file).probe() }
        return PromptCache(pipeline, file, exists: exists)
    }
}

/// The prompt cache file of a run.
final class PromptCache: Sendable {
    /// For at most this many tokens, prefill is cheaper than writing a file.
    private static let fewTokens = 128

    private let pipeline: Gemma4Pipeline
    private let file: String
    private let exists: Bool

    init(_ pipeline: Gemma4Pipeline, _ file: String, exists: Bool) {
        (self.pipeline, self.file, self.exists) = (pipeline, file, exists)
    }

    /// Whether the file should be written for a prompt of which `tokensRead` tokens had to be prefilled.
    func lacks(tokensRead: Int) -> Bool { !exists || tokensRead > Self.fewTokens }

    /// - Throws: an error with a diagnosis if the file cannot be written.
    func save(_ prompt: Prompt) async throws {
        try await Self.savingDraft(of: file) {
            try await pipeline.savePromptCache(of: prompt, to: URL(filePath: file))
        }
    }

    /// Registers the draft of the file, so that a signal that ends the program during `body` leaves no partial file.
    static func savingDraft(of file: String, _ body: () async throws -> Void) async rethrows {
        let draft = PromptCacheFile.draft(of: file)
        Drafts.add(draft)
        defer { Drafts.remove(draft) }
        try await body()
    }
}
