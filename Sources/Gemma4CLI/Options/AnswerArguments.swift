import ArgumentParser
import Gemma4Kit
import Generation

/// Maximum length of an answer.
struct AnswerArguments: ParsableArguments {
    static let defaultMaxTokens = 1024

    @Option(help: ArgumentHelp("Longest answer; default: \(defaultMaxTokens).", valueName: "n"))
    var maxTokens: Int?

    @Flag(help: "Let an answer go on that repeats itself.")
    var noLoopGuard = false

    func validate() throws {
        if let maxTokens, maxTokens < 1 {
            throw ValidationError("--max-tokens: expected 1 or more, found \(maxTokens)")
        }
    }

    /// Greedy decoding.
    func options(loopGuard: LoopGuard) -> GenerationOptions {
        GenerationOptions(
            sampling: .greedy, maxTokens: maxTokens ?? Self.defaultMaxTokens, loopGuard: noLoopGuard ? nil : loopGuard)
    }
}
