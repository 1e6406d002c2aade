import ArgumentParser
import Gemma4Kit
import JSONText

struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the token ids and pieces of a text, as it is: no <bos> is added.",
        discussion: """
            Needs only the tokenizer.json of the model, or a .gguf file.

            Example: gemma4 tokenize --model gemma-4-E2B-it "Good morning"
            """)

    @Argument(help: "The text; - is standard input.")
    var text: String

    @OptionGroup var model: ModelPath

    @Flag(help: "Read the names of special tokens, such as <bos>, as those tokens.")
    var special = false

    @Option(help: ArgumentHelp("text: a line for each token; json: one object.", valueName: "text|json"))
    var format = OutputFormat.text

    func run() throws {
        let tokenizer = try model.source().tokenizer()
        let text = text == StandardInput.argument ? try StandardInput.readText() : text
        let ids = tokenizer.encode(text, parseSpecial: special)
        let pieces = ids.map { JSONValue.string(tokenizer.piece($0) ?? "") }
        switch format {
        case .text: try ByteSink.standardOutput.write(zip(ids, pieces).map { "\($0)\t\($1.json)\n" }.joined())
        case .json:
            let object: JSONValue = ["tokens": .array(ids.map(JSONValue.integer)), "pieces": .array(pieces)]
            try ByteSink.standardOutput.write(object.json + "\n")
        }
    }
}
