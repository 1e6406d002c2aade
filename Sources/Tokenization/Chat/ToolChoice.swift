/// Whether an answer calls tools. Enforced token by token.
public enum ToolChoice: Sendable, Hashable {
    /// No call can begin. The declarations stay in the prompt, so that its prefix equals that of the other turns.
    case none
    /// The model decides.
    case auto
    /// The answer is one or several calls; a thought before them remains possible.
    case required
    /// Like `required`, with this tool only.
    case named(String)

    /// Whether the answer has to call.
    package var mustCall: Bool {
        switch self {
        case .none, .auto: false
        case .required, .named: true
        }
    }
}
