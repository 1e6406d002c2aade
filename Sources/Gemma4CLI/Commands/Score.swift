import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import JSONText

struct Score: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how likely the model finds given tokens, and their perplexity.",
        usage: "gemma4 score [<options>] (--text <text> | --messages <file> | --tokens <ids>)",
        discussion: """
            Log-probabilities are natural, of each token given all before it; the first has none.

            Example: gemma4 score --model gemma-4-E2B-it --text "Paris is in France."
            """)

    @Option(help: "Plain text, which <bos> is put before; - is standard input.")
    var text: String?

    @Option(
        help: ArgumentHelp(
            "Conversation as JSON, as in generate; the start of an answer is added unless an assistant speaks last.",
            valueName: "file"))
    var messages: String?

    @Option(help: ArgumentHelp("Token ids as they are, separated by commas.", valueName: "ids"))
    var tokens: String?

    @OptionGroup var model: ModelOptions

    @OptionGroup var imageTokens: ImageTokensOption

    @Option(help: ArgumentHelp("Of a conversation; default: off, or its own.", valueName: "on|off"))
    var thinking: OnOff?

    @Option(help: ArgumentHelp("text: a line for each token; json: one object.", valueName: "text|json"))
    var format = OutputFormat.text

    func run() async throws {
        guard [text, messages, tokens].count(where: { $0 != nil }) == 1 else {
            throw ValidationError("expected one of --text, --messages and --tokens")
        }
        let pipeline = try model.open()
        let progress = ProgressLine("scoring")
        progress.begin()
        defer { progress.end() }
        let score = try await pipeline.score(try await prompt(pipeline))
        progress.end()
        switch format {
        case .text:
            for (token, logprob) in zip(score.tokens, score.logprobs) {
                try ByteSink.standardOutput.write(TokenRow(token, logprob, pipeline.tokenizer).text)
            }
            try ByteSink.standardOutput.write(
                "perplexity\t\(score.perplexity.map { String(format: "%.4f", $0) } ?? "–")\n")
        case .json:
            let object: JSONValue = [
                "tokens": .array(score.tokens.map(JSONValue.integer)),
                "logprobs": .array(score.logprobs.map { $0.map { .number(Double($0)) } ?? .null }),
                "perplexity": score.perplexity.map(JSONValue.number) ?? .null,
            ]
            try ByteSink.standardOutput.write(object.json + "\n")
        }
    }

    private func prompt(_ pipeline: Gemma4Pipeline) async throws -> Prompt {
        if let tokens { return Prompt(tokens: try Self.ids(tokens)) }
        if let text {
            return try pipeline.prompt(text: text == StandardInput.argument ? StandardInput.readText() : text)
        }
        let file = try MessagesFile(messages ?? StandardInput.argument)
        let options = PromptOptions(
            thinking: thinking.map { $0 == .on } ?? file.request.thinking ?? false, tools: file.request.tools,
            imageTokens: imageTokens.count,
            resolver: .files(in: file.directory), addGenerationPrompt: file.request.messages.last?.role != .assistant,
            continueFinalMessage: file.request.continueFinalMessage)
        return try await pipeline.prompt(file.request.messages, options: options)
    }

    private static func ids(_ list: String) throws -> [Int] {
        try list.split(separator: ",", omittingEmptySubsequences: false).map { item in
            guard let id = Int(item.trimmingCharacters(in: .whitespaces)) else {
                throw ValidationError("--tokens: expected ids separated by commas, found \"\(item)\"")
            }
            return id
        }
    }
}
