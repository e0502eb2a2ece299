"""What words of finance and crypto say, in VADER's scale from −4 to 4: our own list, made by hand.

VADER's own list knows tweets about people: to it `shares` are generous, `security` is a comfort and `soars`
says nothing. Words here count instead of its. Those of NEUTRAL say nothing about a market, whatever they
say about people. Edit a word and raise VERSION: `sentiment_model` names it, so old scores tell themselves.
"""

from __future__ import annotations

VERSION = 1

_VALUES = {
    3.0: ("soar soars soared soaring skyrocket skyrockets skyrocketed skyrocketing moon mooning bullish"),
    2.5: "surge surges surged surging rally rallies rallied rallying breakout jump jumps jumped ath",
    2.0: (
        "gain gains gained gaining climb climbs climbed climbing rebound rebounds rebounded rebounding rise "
        "rises rose rising boost boosts boosted boosting outperform outperforms outperformed upgrade "
        "upgrades upgraded profit profits profitable approval approves approved approve adoption adopt "
        "adopts adopted milestone recovers recovered recovery recover recovering uptrend bull bulls inflow "
        "inflows hodl breakthrough record"
    ),
    1.5: (
        "launch launches launched launching partnership partners partnered partnering expands expand "
        "expanded expansion growth grow grows grew raises raised raise funding backs backed unveils unveil "
        "integrates integrate integration invests invest invested accumulate accumulates accumulating "
        "accumulation buyback tops topped exceeds exceeded surpass surpasses surpassed doubles doubled "
        "triples tripled buys bought nabs secures secured wins won win embraces embrace legalize legalizes "
        "listing lists reward rewards stake staking upside support supports supporting higher beat beats "
        "airdrop green halving"
    ),
    1.0: (
        "acquire acquires acquired acquisition introduces introduce debut debuts opens enables enable "
        "offers add adds accept accepts accepting hire hires joins reach reaches hits rolls upbeat "
        "resilient stable eyes revenue revenues investment investments investor infrastructure leads lead "
        "builds building million billion strong stronger surpassing up new volume payments"
    ),
    -1.0: (
        "tax taxes taxed delay delays delayed urges warn warns warned warning warnings scrutiny regulator "
        "probe probes probed volatile volatility investigate concerns concern caution cautious uncertain "
        "uncertainty outflow resistance cut cuts slow slows slowing debt lower dip dips dipped limits "
        "against down regulation regulations unregulated sell sells selling sold sale ponders despite fears "
        "fear amid"
    ),
    -1.5: (
        "fall falls fell falling drop drops dropped dropping decline declines declined declining slip slips "
        "slipped slide slides slid sliding sinks sink sank sinking lose loses losing loss losses outflows "
        "selloff sell-off downtrend downgrade downgrades downgraded weak weaker weakness slump slumps "
        "slumped fine fines fined penalty investigation lawsuit lawsuits sue sues sued suing suspends "
        "suspend suspended halts halt halted pauses layoff layoffs restrict restricts restriction "
        "restrictions bans ban banned banning freeze frozen freezes reject rejects rejected rejection "
        "denies denied underperform outage downtime recession inflation remove removes delist delists "
        "delisting sanction sanctions sanctioned crackdown bear bears short fud"
    ),
    -2.5: (
        "plunge plunges plunged plunging tumble tumbles tumbled tumbling crash crashes crashed crashing "
        "plummet plummets plummeted plummeting bearish collapse collapses collapsed collapsing exploit "
        "exploits exploited liquidation liquidations liquidated liquidate insolvency insolvent default "
        "defaults defaulted dump dumps dumped dumping tank tanks tanked tanking nosedive capitulation "
        "contagion vulnerability rekt arrest arrested arrests charged indicted guilty laundering seized "
        "seizes seize illegal"
    ),
    -3.0: (
        "hack hacks hacked hacker hackers hacking scam scams scammer scammers fraud fraudulent rug rugpull "
        "bankrupt bankruptcy ponzi theft stolen steal steals phishing ransomware breach breached meltdown"
    ),
}
# Emoji are read by what VADER calls them; the pictures that traders use say more than their names.
_PICTURES = {
    "🚀": 3.0,
    "📈": 2.0,
    "🐂": 2.0,
    "💎": 1.5,
    "🌕": 1.5,
    "📉": -2.0,
    "🐻": -2.0,
    "🩸": -2.5,
    "💀": -2.0,
}
_NEUTRAL = (
    "share shares shared sharing security securities interest interests interested trust treasury exchange "
    "exchanges united like well play player players game games gaming original energy art chance kind party "
    "number please vision credit asset assets bonus fund hand help value values demand matter miner miners "
    "mining battle fight top gross crude stop stopped no pay pays free novel"
)
NEUTRAL = frozenset(_NEUTRAL.split())
WORDS: dict[str, float] = {
    word: value for value, words in _VALUES.items() for word in words.split()
} | _PICTURES
