/// What steps take on this machine: a running mean of what was measured, recent steps counting most.
struct StepCosts {
    /// Seconds of a step that only decodes, by the number of rows.
    private var decode: [Int: Double] = [:]
    private var promptToken: Double?

    /// - Parameter decoding: rows of running answers; 0 if only prompts were read.
    mutating func pass(_ seconds: Double, decoding: Int, promptTokens: Int) {
        if promptTokens == 0 {
            decode[decoding] = Self.mean(decode[decoding], seconds)
        } else {
            let alone = decoding > 0 ? decodeSeconds(decoding) : 0
            promptToken = Self.mean(promptToken, max(seconds - alone, seconds * 0.1) / Double(promptTokens))
        }
    }

    /// - Parameter rows: of the running answers.
    func estimate(rows: Int) -> PassPlanner.Costs {
        let decode = decodeSeconds(rows)
        // Before anything was measured: a prompt's token takes about a tenth of a step.
        return PassPlanner.Costs(decodeSeconds: decode, promptTokenSeconds: promptToken ?? decode / 10)
    }

    /// Of the nearest number of rows that was measured.
    func decodeSeconds(_ rows: Int) -> Double {
        let nearest = decode.min { abs($0.key - rows) < abs($1.key - rows) }
        return nearest?.value ?? promptToken.map { $0 * 10 } ?? 0.05
    }

    private static func mean(_ old: Double?, _ new: Double) -> Double { old.map { 0.75 * $0 + 0.25 * new } ?? new }
}
