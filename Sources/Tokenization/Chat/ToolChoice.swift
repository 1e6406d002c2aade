/// Whether an answer calls tools. What it says is enforced token by token.
public enum ToolChoice: Sendable, Hashable {
    /// No call can be begun. The declarations stay in the prompt, which so begins like those of the other turns.
    case none
    /// The model decides.
    case auto
    /// The answer is a call, or several; a thought before it stays possible.
    case required
    /// The same, with this tool alone.
    case named(String)

    /// Whether the answer has to call.
    package var mustCall: Bool {
        switch self {
        case .none, .auto: false
        case .required, .named: true
        }
    }
}
