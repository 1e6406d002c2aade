import JSONText
import Weights

/// `config_sentence_transformers.json`: the prompts that precede a text, by the task of its embedding. The file is
/// optional.
package struct EmbeddingPrompts: Sendable {
    /// Tasks and prompts, in file order.
    package private(set) var prompts: [(task: String, text: String)] = []
    /// The task of texts without a task; nil: no prompt.
    private(set) var defaultTask: String?

    /// - Throws: `CheckpointError` with the key whose value is not a string.
    init(contentsOf file: String) throws(CheckpointError) {
        func invalid(_ place: String, _ expected: String, _ found: JSONValue) -> CheckpointError {
            CheckpointError(
                .invalidValue, file: file, place: place, expected: expected, found: found.summary,
                remedy: "Use the file published beside these weights.")
        }
        let json: JSONValue
        do { json = try JSONValue(contentsOf: file) } catch  where error.code == .fileNotFound { return }
        if let prompts = json["prompts"], prompts != .null {
            guard case .object(let members) = prompts else { throw invalid("prompts", "an object of texts", prompts) }
            for member in members {
                guard let text = member.value.string else {
                    throw invalid("prompts.\(member.key)", "a text", member.value)
                }
                self.prompts.append((member.key, text))
            }
        }
        if let task = json["default_prompt_name"], task != .null {
            guard let name = task.string, self.prompts.contains(where: { $0.task == name }) else {
                throw invalid("default_prompt_name", "the name of a prompt", task)
            }
            defaultTask = name
        }
    }

    /// - Parameter task: case-insensitive; nil selects the default.
    /// - Throws: `PromptError` if the task has no prompt.
    func callAsFunction(_ task: String?) throws(PromptError) -> String {
        guard let task = task ?? defaultTask else { return "" }
        let found =
            prompts.first { $0.task == task } ?? prompts.first { $0.task.lowercased() == task.lowercased() }
        guard let found else { throw PromptError(.noSuchTask(task, known: prompts.map(\.task))) }
        return found.text
    }
}
