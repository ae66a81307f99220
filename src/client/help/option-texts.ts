/** What help says of the options that are no member of a request, by their names. HTML. */
export const ADDED_OPTION_TEXTS: Readonly<Record<string, string>> = {
  'cli-input-json':
    'Performs service operation based on the JSON string provided. The JSON string follows the format provided by ' +
    '<code>--generate-cli-skeleton</code>. If other arguments are provided on the command line, the CLI values will ' +
    'override the JSON-provided values. It is not possible to pass arbitrary binary values using a JSON-provided ' +
    'value as the string will be taken literally.',
  'generate-cli-skeleton':
    'Prints a JSON skeleton to standard output without sending an API request. If provided with no value or the value ' +
    '<code>input</code>, prints a sample input JSON that can be used as an argument for ' +
    '<code>--cli-input-json</code>. If provided with the value <code>output</code>, it validates the command inputs ' +
    'and returns a sample output JSON for that command.',
  outfile: 'Filename where the content will be saved',
  'starting-token': 'Where to begin: the <code>NextToken</code> that a command with <code>--max-items</code> printed.',
  'page-size':
    'How many items to ask for with each call. What is printed stays the same: smaller pages take more calls, each of ' +
    'which is answered sooner.',
  'max-items':
    'How many items to print at most. Where there are more, a <code>NextToken</code> is printed too, with which ' +
    '<code>--starting-token</code> goes on. The tokens of the service itself are others.',
  count:
    'How many instances to launch. Two numbers with a colon between them, <code>1:3</code>, are the least and the most.',
  'secondary-private-ip-addresses': 'Further private addresses of the first network interface.',
  'secondary-private-ip-address-count':
    'How many further private addresses the first network interface gets, where they need not be certain ones.',
  'associate-public-ip-address': 'Whether the first network interface gets a public address.',
  protocol:
    'The protocol of the rule: <code>tcp</code>, <code>udp</code>, <code>icmp</code>, or <code>all</code>. A short form ' +
    'of <code>--ip-permissions</code>, together with the port and who is let in or out.',
  port:
    'The port of the rule, or a range of them: <code>22</code>, <code>8000-8010</code>. For <code>icmp</code> its type. ' +
    '<code>-1</code>: all.',
  cidr: 'The addresses that the rule is for, as a block: <code>192.0.2.0/24</code>.',
  'source-group': 'The security group that the rule is for, by name or ID.',
  'group-owner': 'The account that the group of <code>--source-group</code> belongs to, where it is another.',
  'priv-launch-key':
    'The file of the private key of the pair that the instance was launched with. The password is printed decrypted.',
};
