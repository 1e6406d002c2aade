import Dispatch
import Foundation
import Gemma4Kit

extension StopSignal {
    /// Set by the first Ctrl-C or SIGTERM, or by a terminal that goes away; the second ends the program at once.
    static func onInterrupt() -> StopSignal {
        let stop = StopSignal()
        for number in [SIGINT, SIGTERM, SIGHUP] {
            // Its own action would be taken beside the source's. One that is ignored stays so, as `nohup` asks.
            let before = signal(number, SIG_IGN)
            if number == SIGHUP, unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                continue
            }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                defer { withExtendedLifetime(source) {} }  // the source lives as long as its handler
                guard stop.isSet else { return stop.set() }
                Drafts.unlinkAll()
                _exit(number == SIGINT ? ExitStatus.interrupted.rawValue : ExitStatus.stopped.rawValue)
            }
            source.resume()
        }
        return stop
    }
}
