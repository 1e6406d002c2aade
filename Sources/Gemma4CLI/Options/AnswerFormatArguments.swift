import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import JSONText

/// Format constraints of an answer.
struct AnswerFormatArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Answer in JSON that this JSON Schema allows.", valueName: "file"))
    var schema: String?

    @Option(help: ArgumentHelp("Answer by a grammar in GBNF, as of llama.cpp.", valueName: "file"))
    var grammar: String?

    @Option(help: ArgumentHelp("Answer in a text that this matches.", valueName: "expression"))
    var regex: String?

    @Option(help: ArgumentHelp("Answer with one of these texts.", valueName: "a|b"))
    var choice: String?

    func validate() throws {
        if [schema, grammar, regex, choice].count(where: { $0 != nil }) > 1 {
            throw ValidationError("give one of --schema, --grammar, --regex and --choice")
        }
    }

    /// The format selected by the flags, checked before a model is loaded; nil without flags.
    ///
    /// - Throws: `CommandError`; an error with a diagnosis if the format cannot be enforced.
    func read() throws -> AnswerFormat? {
        if let schema {
            let value: JSONValue
            let bytes = try MessagesFile.read(URL(filePath: schema), schema)
            do throws(JSONValue.SyntaxError) { value = try JSONValue(parsing: Array(bytes)) } catch {
                throw CommandError(.notJSON(error), schema)
            }
            return try Self.checked(.schema(value), schema)
        }
        if let grammar {
            let bytes = try MessagesFile.read(URL(filePath: grammar), grammar)
            guard let text = String(validating: bytes, as: UTF8.self) else { throw CommandError(.notUTF8, grammar) }
            return try Self.checked(.grammar(text), grammar)
        }
        if let regex { return try Self.checked(.regularExpression(regex), "--regex") }
        if let choice {
            let texts = choice.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            return try Self.checked(.choices(texts), "--choice")
        }
        return nil
    }

    private static func checked(_ format: AnswerFormat, _ name: String) throws -> AnswerFormat {
        try format.check(named: name)
        return format
    }
}
