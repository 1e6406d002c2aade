import Foundation
import TestSupport
import Testing

/// Answers of nets with random weights, which obey no format unless constrained.
struct AnswerFormatTests {
    private struct Form: Decodable {
        let name: String
        let count: Int
        let tags: [String]
        let size: Double?
    }

    private static let schema = """
        {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 6},
         "count": {"type": "integer", "minimum": 10, "maximum": 999}, "tags": {"type": "array", "maxItems": 3,
         "items": {"enum": ["red", "green"]}}, "size": {"enum": [null, 1.5]}},
         "required": ["name", "count", "tags", "size"], "additionalProperties": false}
        """

    private func generate(_ checkpoint: String, _ flags: [String], files: [String: String] = [:]) async throws
        -> Program.Outcome
    {
        let directory = try TemporaryDirectory()
        for (name, text) in files { try directory.write(Array(text.utf8), to: name) }
        var program = Program("generate", "--model", checkpoint, "--max-tokens", "400", "say something")
        program.arguments += flags
        program.directory = directory.path
        return try await program.run()
    }

    @Test(arguments: ["E2B", "26B-A4B"], [0, 1, 2, 3])
    func jsonObeysItsSchema(variant: String, seed: Int) async throws {
        let flags = [
            "--schema", "form.json", "--temperature", seed == 0 ? "0" : "1", "--seed", "\(seed)", "--format", "json",
        ]
        let outcome = try await generate(Goldens.checkpoint(variant), flags, files: ["form.json": Self.schema])
        #expect(outcome.status == 0 && outcome.messages.isEmpty, "\(outcome.messages)")
        let answer: AnswerObject = try outcome.decoded()
        #expect(answer.finishReason == "stop")
        let form = try JSONDecoder().decode(Form.self, from: Data(answer.text.utf8))
        #expect(1...6 ~= form.name.unicodeScalars.count && 10...999 ~= form.count && form.tags.count <= 3)
        #expect(form.tags.allSatisfy(["red", "green"].contains) && (form.size == nil || form.size == 1.5))
        // Forced tokens are appended without the model.
        #expect(answer.logprobs.count { $0 == 0 } > 3)
    }

    @Test(arguments: ["0", "1"])
    func choicesGrammarsAndExpressionsAreObeyed(temperature: String) async throws {
        let model = Goldens.checkpoint("E2B")
        let flags = ["--temperature", temperature, "--seed", "5"]
        let choice = try await generate(model, flags + ["--choice", "yes|not sure"])
        #expect(["yes\n", "not sure\n"].contains(choice.text))
        let expression = try await generate(model, flags + ["--regex", "[A-F]{3}-\\d{2,4}(é|ü)"])
        #expect(expression.text.wholeMatch(of: /[A-F]{3}-\d{2,4}[éü]\n/) != nil, "\(expression.text)")
        let grammar = try await generate(
            model, flags + ["--grammar", "list.gbnf"],
            files: ["list.gbnf": "root ::= item{2} # twice\nitem ::= \"- \" [a-c]{1,5} \"\\n\"\n"])
        #expect(grammar.text.wholeMatch(of: /(- [a-c]{1,5}\n){2}/) != nil, "\(grammar.text)")
    }

    @Test func aCutAnswerSaysThatItDoesNotObey() async throws {
        let outcome = try await generate(
            Goldens.checkpoint("E2B"), ["--regex", "a{200}", "--max-tokens", "3", "--temperature", "0"])
        #expect(outcome.status == 0)
        #expect(outcome.messages.contains("was cut off after 3 tokens and may not obey what was asked for"))
    }

    @Test(arguments: [
        (
            ["--schema", "a.json"], 69,
            "a.json, /items/unevaluatedItems: expected a keyword that can be enforced, found unevaluatedItems. Use items."
        ),
        (["--schema", "b.json"], 65, "b.json, line 1, column 10: expected a value, found the end of the text."),
        (["--schema", "none.json"], 66, "none.json: cannot be read: no such file"),
        (
            ["--grammar", "c.gbnf"], 65,
            "c.gbnf, line 1, column 10: expected the name of a rule that is defined, found item."
        ),
        (["--regex", "(?!a)"], 69, "--regex, character 1: expected a group without look-around or flags"),
        (["--choice", "a||b"], 65, "--choice, choice 2: expected a text, found an empty one."),
        (["--choice", "a", "--regex", "b"], 64, "give one of --schema, --grammar, --regex and --choice"),
    ])
    func whatCannotBeObeyedIsRefusedBeforeAModelIsOpened(flags: [String], status: Int32, message: String) async throws {
        let outcome = try await generate(
            "no-model", flags,
            files: [
                "a.json": "{\"items\": {\"unevaluatedItems\": false}}", "b.json": "{\"type\": ",
                "c.gbnf": "root ::= item",
            ])
        #expect(outcome.status == status && outcome.messages.contains(message), "\(outcome.messages)")
    }

    /// In the request formats of OpenAI and Ollama.
    @Test(arguments: [
        #""response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["a", 7]}}}"#,
        #""format": {"enum": ["a", 7]}"#,
    ])
    func requestsBringTheirSchema(key: String) async throws {
        var program = Program(
            "generate", "--model", Goldens.checkpoint("E2B"), "--messages", "-", "--temperature", "1",
            input: Data("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \(key)}".utf8))
        program.arguments += ["--seed", "3"]
        let outcome = try await program.run()
        #expect(["\"a\"\n", "7\n"].contains(outcome.text), "\(outcome.text) \(outcome.messages)")
    }

    @Test func everyTurnAndEveryPictureObeys() async throws {
        var chat = Program(
            "chat", "--model", Goldens.checkpoint("E2B"), "--choice", "aye|nay", input: Data("one\ntwo\n".utf8))
        chat.arguments += ["--temperature", "1", "--seed", "2"]
        let turns = try await chat.run()
        #expect(
            turns.text.split(separator: "\n").allSatisfy { $0 == "aye" || $0 == "nay" } && turns.text.contains("\n"))
        let caption = try await Program(
            "caption", "--model", Goldens.checkpoint("E2B"), "attachments/wide.png", "--regex", "[a-z]{4}"
        ).run()
        #expect(caption.text.wholeMatch(of: /[a-z]{4}\n/) != nil, "\(caption.text)")
    }
}
