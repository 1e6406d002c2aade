import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import Synchronization

/// A file that keeps what was read of a prompt.
struct PromptCacheOption: ParsableArguments {
    @Option(
        name: .customLong("prompt-cache"),
        help: ArgumentHelp("Keep what was read of the prompt there; go on from it.", valueName: "file"))
    var file: String?

    /// - Throws: an error with a diagnosis if there is a file of another kind or model; `CommandError` if none can be made.
    func open(_ pipeline: Gemma4Pipeline) async throws -> PromptCache? {
        guard let file else { return nil }
        let exists = try await pipeline.loadPromptCache(contentsOf: URL(filePath: file))
        if !exists { try OutputFile(file).probe() }
        return PromptCache(pipeline, file, exists: exists)
    }
}

/// The file while answers are made.
final class PromptCache: Sendable {
    /// So many tokens are read again sooner than a file is written.
    private static let fewTokens = 128

    private let pipeline: Gemma4Pipeline
    private let file: String
    private let exists: Bool

    init(_ pipeline: Gemma4Pipeline, _ file: String, exists: Bool) {
        (self.pipeline, self.file, self.exists) = (pipeline, file, exists)
    }

    /// Whether the file is to be written for a prompt of which so many tokens had to be read.
    func lacks(tokensRead: Int) -> Bool { !exists || tokensRead > Self.fewTokens }

    /// - Throws: an error with a diagnosis if the file cannot be written.
    func save(_ prompt: Prompt) async throws {
        try await Self.savingDraft(of: file) {
            try await pipeline.savePromptCache(of: prompt, to: URL(filePath: file))
        }
    }

    /// A signal that ends the program while `body` writes a file leaves nothing half-written.
    static func savingDraft(of file: String, _ body: () async throws -> Void) async rethrows {
        let draft = PromptCacheFile.draft(of: file)
        Drafts.add(draft)
        defer { Drafts.remove(draft) }
        try await body()
    }
}
