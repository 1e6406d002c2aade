import ArgumentParser
import Gemma4Kit

/// Whether the model thinks before it answers, and its token budget.
struct ThinkingArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Think first; default: off.", valueName: "on|off"))
    var thinking: OnOff?

    @Option(help: ArgumentHelp("Close a thought after so many tokens.", valueName: "n"))
    var thinkingBudget: Int?

    func validate() throws {
        if let thinkingBudget, thinkingBudget < 0 {
            throw ValidationError("--thinking-budget: expected 0 or more, found \(thinkingBudget)")
        }
    }
}
